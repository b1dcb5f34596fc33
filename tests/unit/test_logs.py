"""What a process writes to its log."""

import json
import subprocess
import sys

PROGRAM = """
from loguru import logger
from enhancer_dagster.logs import configure_logging

configure_logging()
try:
    raise ValueError("cannot read 'My password is Canary!1n-Trace' as a number")
except ValueError as error:
    logger.opt(exception=error).error("context node {} has a defect", "kb_search")
"""


def test_a_traceback_is_written_without_credentials() -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    (line,) = map(json.loads, ran.stderr.splitlines())
    assert line["record"]["message"] == "context node kb_search has a defect"
    assert "ValueError: cannot read 'My password is [PASSWORD]' as a number" in line["text"]
    assert "Canary!1n-Trace" not in ran.stderr
