"""What ops print, captured without helper processes.

Dagster's own local manager starts `tail` and a Python interpreter for each stream, to show the output on
the terminal as well: 0.08 CPU seconds a run. This one only redirects. In `dagster.yaml`::

    compute_logs:
      module: enhancer_dagster.runtime.compute_logs
      class: RedirectingComputeLogManager
      config:
        base_dir: {env: ENHANCER_COMPUTE_LOGS}
"""

import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from dagster._core.execution.compute_logs import redirect_to_file
from dagster._core.storage.compute_log_manager import CapturedLogContext
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._serdes import ConfigurableClassData


class RedirectingComputeLogManager(LocalComputeLogManager):
    """`LocalComputeLogManager` that sends stdout and stderr to their files and nowhere else."""

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> Self:
        """Build this class; the inherited method would build its own."""
        return cls(inst_data=inst_data, **config_value)

    @contextmanager
    def capture_logs(self, log_key: Sequence[str]) -> Generator[CapturedLogContext, None, None]:
        """Send file descriptors 1 and 2 to the files of `log_key` until the block ends."""
        output, errors = (Path(self.get_captured_local_path(log_key, kind)) for kind in ("out", "err"))
        output.parent.mkdir(parents=True, exist_ok=True)
        try:
            with redirect_to_file(sys.stdout, output), redirect_to_file(sys.stderr, errors):
                yield CapturedLogContext(log_key)
        finally:
            Path(self.complete_artifact_path(log_key)).touch()
