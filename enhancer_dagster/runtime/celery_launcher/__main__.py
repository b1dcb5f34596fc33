"""`python -m enhancer_dagster.runtime.celery_launcher` with the arguments of `celery worker`: be a worker."""

import sys

from celery import signals

from enhancer_dagster.domain.errors import ConfigurationError
from enhancer_dagster.logs import configure_logging
from enhancer_dagster.runtime.celery_launcher.worker import serve


def main() -> int:
    """Serve until told to end."""
    configure_logging()
    signals.setup_logging.connect(_keep_logging, weak=False)
    try:
        serve(sys.argv[1:])
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _keep_logging(**_: object) -> None:
    """Celery leaves logging alone where somebody listens to this signal."""


if __name__ == "__main__":
    sys.exit(main())
