"""JSON log lines on stderr, the same in every process: `{"text": …, "record": {…, "extra": {…}}}`.

Use `logger.bind(...)` or `logger.contextualize(correlation_id=…, tenant_id=…, ticket_id=…)`.
"""

import json
import logging
import sys
from typing import TYPE_CHECKING

from loguru import logger

if TYPE_CHECKING:
    from loguru import Message


class _ToLoguru(logging.Handler):
    """Hands the standard library's records (uvicorn, httpx, alembic) to loguru."""

    def emit(self, record: logging.LogRecord) -> None:
        known = record.levelname in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}
        level = record.levelname if known else record.levelno
        logger.opt(exception=record.exc_info).bind(logger=record.name).log(level, "{}", record.getMessage())


def configure_logging(level: str = "INFO") -> None:
    """Send everything this process logs to stderr as JSON lines.

    Args:
        level: Least level that is written: DEBUG, INFO, WARNING or ERROR.
    """
    logger.remove()
    # `diagnose` prints the values of variables in tracebacks, secrets among them.
    logger.add(_write_line, level=level, backtrace=False, diagnose=False)
    logging.basicConfig(handlers=[_ToLoguru()], level=logging.WARNING, force=True)


def _write_line(message: "Message") -> None:
    record = message.record
    text = str(message).rstrip("\n")
    line = {
        "text": _masked(text) if record["exception"] else text,
        "record": {
            "time": record["time"].isoformat(),
            "level": record["level"].name,
            "message": record["message"],
            "extra": record["extra"],
        },
    }
    sys.stderr.write(json.dumps(line, default=str, ensure_ascii=False) + "\n")


def _masked(traceback: str) -> str:
    """`traceback` without credentials: its last line is in nobody's words, and may quote a ticket."""
    # Detectors take 40 ms to load, which most processes never need.
    from enhancer_dagster.domain.redaction import without_credentials

    return without_credentials(traceback)
