"""The launcher's settings in `dagster.yaml`."""

from pydantic import BaseModel, ConfigDict, Field


class LauncherOptions(BaseModel):
    """How many workers there are, how long they live, and what they have loaded beforehand."""

    model_config = ConfigDict(frozen=True)

    workers: int = Field(default=4, ge=1, description="Slots: runs that execute at the same time.")
    max_runs_per_worker: int = Field(
        default=200, ge=1, description="A worker is replaced after so many runs; 1 gives each run its own."
    )
    max_worker_memory_mb: int = Field(
        default=1024, ge=1, description="A worker with more anonymous memory is replaced after its run."
    )
    max_runtime_seconds: int = Field(
        default=0, ge=0, description="Hard limit of runs without the tag dagster/max_runtime; 0: none."
    )
    terminate_grace_seconds: int = Field(
        default=5, ge=0, description="Time between the request to end (SIGTERM) and force (SIGKILL)."
    )
    preload: tuple[str, ...] = Field(
        default=(), description="`package.module:function`, called once in the template, without arguments."
    )
    preload_timeout_seconds: int = Field(
        default=60, ge=1, description="A template that takes longer to load the code is given up."
    )
    linger_seconds: int = Field(
        default=300, ge=0, description="A self-started dispatcher ends when so long nobody was connected."
    )
