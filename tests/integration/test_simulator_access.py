"""Who is let into the simulator: keys on premises, tokens in the cloud, and the limits of both."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from enhancer_dagster.domain.tenants import Edition
from enhancer_dagster.simulator.options import SimulatorOptions
from enhancer_dagster.simulator.server import RunningSimulator, running_simulator
from enhancer_dagster.simulator.simulator import Simulator


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cloud(clock: Clock) -> Iterator[RunningSimulator]:
    options = SimulatorOptions(
        edition=Edition.CLOUD, api_key="refresh", client_id="client", client_secret="secret", portal="desk"
    )
    with running_simulator(Simulator(options, clock=clock)) as running:
        yield running


CREDENTIALS = {"client_id": "client", "client_secret": "secret", "refresh_token": "refresh"}


def refresh(cloud: RunningSimulator, **changes: str) -> httpx.Response:
    form = {"grant_type": "refresh_token", **CREDENTIALS, **changes}
    return httpx.post(f"{cloud.origin}/oauth/v2/token", data=form)


def read(cloud: RunningSimulator, token: str, scheme: str = "Zoho-oauthtoken") -> int:
    headers = {"Authorization": f"{scheme} {token}"}
    return httpx.get(f"{cloud.url}/api/v3/requests", headers=headers).status_code


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authtoken": "key"}, 200),
        ({"Authtoken": "key"}, 200),
        ({"TECHNICIAN_KEY": "key"}, 200),
        ({"authtoken": "reader"}, 200),
        ({"authtoken": "wrong"}, 401),
        ({"Authorization": "Zoho-oauthtoken key"}, 401),
        ({}, 401),
    ],
)
def test_keys_on_premises(headers: dict[str, str], status: int) -> None:
    simulator = Simulator(SimulatorOptions(api_key="key", reader_key="reader"))
    with running_simulator(simulator) as running:
        assert httpx.get(f"{running.url}/api/v3/requests", headers=headers).status_code == status


def test_a_reader_s_key_may_not_write() -> None:
    simulator = Simulator(SimulatorOptions(api_key="key", reader_key="reader"))
    ticket = simulator.add_ticket("S")
    with running_simulator(simulator) as running:
        url = f"{running.url}/api/v3/requests/{ticket.ticket_id}/close"
        answer = httpx.put(url, headers={"authtoken": "reader"})
    assert answer.status_code == 403
    assert "4002" in answer.text
    assert ticket.status == "Open"


def test_a_refreshed_token_lets_in_for_an_hour(cloud: RunningSimulator, clock: Clock) -> None:
    answer = refresh(cloud)
    assert answer.status_code == 200
    token = answer.json()["access_token"]
    assert answer.json()["expires_in"] == 3600
    assert "refresh_token" not in answer.json()
    assert (read(cloud, token), read(cloud, token, "Bearer"), read(cloud, "other")) == (200, 200, 401)
    clock.now += 3600
    assert read(cloud, token) == 401


def test_the_parameters_of_a_refresh_may_be_in_the_address(cloud: RunningSimulator) -> None:
    given = {"grant_type": "refresh_token", **CREDENTIALS}
    answer = httpx.post(f"{cloud.origin}/oauth/v2/token", params=given)
    assert read(cloud, answer.json()["access_token"]) == 200


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"client_id": "x"}, "invalid_client"),
        ({"client_secret": "x"}, "invalid_client_secret"),
        ({"refresh_token": "x"}, "invalid_code"),
        ({"grant_type": "password"}, "invalid_code"),
    ],
)
def test_wrong_credentials_are_an_error_with_status_200(
    cloud: RunningSimulator, changes: dict[str, str], error: str
) -> None:
    answer = refresh(cloud, **changes)
    assert (answer.status_code, answer.json()) == (200, {"error": error})


def test_five_refreshes_a_minute_are_the_most(cloud: RunningSimulator, clock: Clock) -> None:
    assert all("access_token" in refresh(cloud).json() for _ in range(5))
    sixth = refresh(cloud)
    assert sixth.status_code == 400
    assert sixth.json()["error"] == "Access Denied"
    clock.now += 60
    assert "access_token" in refresh(cloud).json()


def test_another_portal_is_not_there(cloud: RunningSimulator) -> None:
    token = refresh(cloud).json()["access_token"]
    headers = {"Authorization": f"Zoho-oauthtoken {token}"}
    answer = httpx.get(f"{cloud.origin}/app/other/api/v3/requests", headers=headers)
    assert answer.status_code == 404


def test_tokens_can_be_made_invalid_at_once(cloud: RunningSimulator) -> None:
    token = refresh(cloud).json()["access_token"]
    httpx.post(f"{cloud.admin_url}/reset", json={"parts": ["tokens"]})
    assert read(cloud, token) == 401


@pytest.mark.parametrize(
    ("edition", "status", "words"),
    [(Edition.ONPREM, 400, "maximum access limit for the page is exceeded"), (Edition.CLOUD, 429, "4015")],
)
def test_too_many_calls_are_throttled_until_a_minute_is_over(
    clock: Clock, edition: Edition, status: int, words: str
) -> None:
    simulator = Simulator(SimulatorOptions(edition=edition, calls_per_minute=2), clock=clock)
    headers = {"authtoken": "simulator", "Authorization": f"Bearer {simulator.tokens.issue(3600)}"}
    with running_simulator(simulator) as running:

        def ask() -> httpx.Response:
            return httpx.get(f"{running.url}/api/v3/requests", headers=headers)

        answers: list[Any] = [ask() for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, status]
        assert words in answers[2].text
        clock.now += 60
        assert ask().status_code == 200
