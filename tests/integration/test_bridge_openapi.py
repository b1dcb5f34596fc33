"""Requests that the bridge's own OpenAPI documents allow, and such as they forbid: none is answered 5xx."""

import time
from collections.abc import Callable, Iterator

import hypothesis
import pytest
import requests
import schemathesis
from schemathesis import Case, GenerationMode

from enhancer_dagster.runtime.postgres import EmbeddedPostgres
from tests.bridge_server import TOKEN, KnownTenants, RunningBridge, shared_bridge, signed

CASES = 200
"""Requests for each operation and mode."""
NO_LIMIT = 1_000_000
LIMITS = [f"webhook_{what}_per_{whom}" for what in ("rate", "burst") for whom in ("tenant", "address")]

Prepare = Callable[[requests.PreparedRequest], None]
both_modes = pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])


@pytest.fixture(scope="module")
def bridge(postgres: EmbeddedPostgres) -> Iterator[RunningBridge]:
    with shared_bridge(postgres, KnownTenants(), **dict.fromkeys(LIMITS, NO_LIMIT)) as running:
        yield running


@both_modes
def test_no_delivery_that_a_tenant_signed_is_answered_5xx(
    bridge: RunningBridge, mode: GenerationMode
) -> None:
    def sign(request: requests.PreparedRequest) -> None:
        if request.method == "POST":
            request.prepare_url(f"http://127.0.0.1:{bridge.public_port}/webhook/servicedesk/acme", None)
        raw = request.body.encode() if isinstance(request.body, str) else request.body or b""
        request.headers.update(signed(raw, timestamp=str(int(time.time()))))

    statuses = answers(bridge, bridge.public_port, mode, sign)
    assert statuses & {202, 422}, "signatures were right"
    assert bridge.send(ticket_id="after").status_code == 202


@both_modes
def test_no_delivery_of_a_stranger_is_answered_5xx_or_stored(
    bridge: RunningBridge, mode: GenerationMode
) -> None:
    before = stored(bridge)
    statuses = answers(bridge, bridge.public_port, mode, lambda request: None)
    assert 401 in statuses
    assert stored(bridge) == before


@both_modes
def test_no_request_on_the_inner_door_is_answered_5xx(bridge: RunningBridge, mode: GenerationMode) -> None:
    def authorize(request: requests.PreparedRequest) -> None:
        request.headers["Authorization"] = f"Bearer {TOKEN.get_secret_value()}"

    statuses = answers(bridge, bridge.claim_port, mode, authorize)
    assert statuses & {200, 404, 409}, "the token was right"
    assert bridge.send(ticket_id="after-it").status_code == 202


def stored(bridge: RunningBridge) -> list[int]:
    """Rows in the bridge's tables."""
    return [bridge.count(table) for table in ("jobs", "deliveries", "quarantine", "runs")]


def answers(bridge: RunningBridge, port: int, mode: GenerationMode, prepare: Prepare) -> set[int]:
    """The status codes of many requests to every operation that a listener describes; none is 5xx."""
    address = f"http://127.0.0.1:{port}"
    statuses: set[int] = set()
    with requests.Session() as session:
        for found in schemathesis.openapi.from_url(f"{address}/openapi.json").get_all_operations():
            operation = found.ok()

            @hypothesis.settings(max_examples=CASES, database=None)
            @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
            def send(case: Case) -> None:
                if isinstance(case.body, dict) and case.path == "/v1/claims":
                    case.body["wait_seconds"] = 0  # an empty queue would be waited for
                request = requests.Request(**case.as_transport_kwargs(address)).prepare()
                prepare(request)
                status = session.send(request, timeout=30).status_code
                assert status < 500, case.as_curl_command()
                statuses.add(status)

            try:
                send()
            except hypothesis.errors.Unsatisfiable:
                assert mode is GenerationMode.NEGATIVE, "every operation can be asked rightly"
    return statuses
