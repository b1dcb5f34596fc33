"""The launcher's settings in `dagster.yaml`, and what they mean for the Celery application."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

REDELIVERY_SECONDS = 25
"""After so long without acknowledgement a task goes to another worker. A run that takes longer is delivered
twice, and the second worker finds it claimed."""


class CeleryOptions(BaseModel):
    """Where the broker is, which queue a job's runs wait in, and how long a worker's processes live."""

    model_config = ConfigDict(frozen=True)

    redis_url: str = Field(description="Of broker and result backend: redis[s]://:password@host:port/number")
    queues: Mapping[str, str] = Field(default={}, description="By job, the queue that its runs wait in.")
    max_runs_per_process: int = Field(
        default=200, ge=1, description="A worker's process is replaced after so many runs."
    )
    max_process_memory_mb: int = Field(
        default=2048, ge=1, description="One that ever had more resident memory is replaced after its run."
    )
    max_runtime_seconds: int = Field(
        default=0, ge=0, description="Hard limit of runs without the tag dagster/max_runtime; 0: none."
    )
    preload: tuple[str, ...] = Field(
        default=(), description="`package.module:function`, called in order before a worker forks."
    )


def celery_settings(options: CeleryOptions) -> dict[str, Any]:
    """Settings of the Celery application, the same for launcher and workers."""
    return {
        "broker_transport_options": {
            "visibility_timeout": REDELIVERY_SECONDS,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            "unacked_restore_limit": 1000,
            "socket_timeout": 10,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
        },
        # A launch waits half a minute for a broker that is being restarted.
        "task_publish_retry_policy": {
            "max_retries": 30,
            "interval_start": 0.2,
            "interval_step": 0.2,
            "interval_max": 1.0,
        },
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # Acknowledged after the run, and none taken beforehand: a task waits where every worker can get it.
        "task_acks_late": True,
        "task_reject_on_worker_lost": False,
        "worker_prefetch_multiplier": 1,
        # All that is asked of the backend is whether the process of a run was lost.
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": True,
        "result_expires": 3600,
        "worker_max_tasks_per_child": options.max_runs_per_process,
        "worker_max_memory_per_child": options.max_process_memory_mb * 1024,
        # Many processes that connect to the database side by side take their time.
        "worker_proc_alive_timeout": 60,
        "worker_hijack_root_logger": False,
        # Compute logs are captured at the file descriptors.
        "worker_redirect_stdouts": False,
    }
