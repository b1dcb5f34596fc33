"""The cloud's access token: one for all workers, with the real PostgreSQL between them."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from enhancer_dagster.adapters.secrets import Cipher, generate_key
from enhancer_dagster.adapters.service_desk import PostgresTokenStore, ServiceDeskConnector
from enhancer_dagster.adapters.service_desk.oauth import AccessToken
from enhancer_dagster.database import Database
from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.errors import (
    EnhancerError,
    ServiceDeskThrottledError,
    ServiceDeskUnauthorizedError,
    ServiceDeskUnavailableError,
)
from tests.factories import ON_LOOPBACK
from tests.service_desk_server import Reply, ScriptedServer, cloud_tenant, record, scripted_server

TOKEN_PATH = "/oauth/v2/token"
TICKET_PATH = "/app/itdesk/api/v3/requests/42"


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def token(value: str, expires_in: int = 3600) -> Reply:
    return Reply(200, {"access_token": value, "expires_in": expires_in, "token_type": "Bearer"})


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as script:
        script.on("GET", TICKET_PATH, record("request", id="42"))
        script.on("POST", TOKEN_PATH, *(token(f"token-{n}") for n in range(1, 9)))
        yield script


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cipher() -> Cipher:
    return Cipher(generate_key())


@pytest.fixture
def database(database_url: SecretStr) -> Database:
    return Database(database_url, max_size=8)


@pytest.fixture
def deadline() -> Deadline:
    return Deadline.after(30)


def worker(database: Database, cipher: Cipher, clock: Clock) -> ServiceDeskConnector:
    """What each worker process has of its own."""
    store = PostgresTokenStore(database, cipher)
    return ServiceDeskConnector(
        tokens=store, destinations=ON_LOOPBACK, clock=clock, sleep=lambda seconds: None
    )


def refreshes(server: ScriptedServer) -> int:
    return len(server.calls("POST", TOKEN_PATH))


def last_token(server: ScriptedServer) -> str:
    return server.calls("GET", TICKET_PATH)[-1].headers["authorization"].removeprefix("Zoho-oauthtoken ")


def test_workers_share_one_token(
    server: ScriptedServer, database: Database, cipher: Cipher, clock: Clock, deadline: Deadline
) -> None:
    tenant = cloud_tenant(server.url)
    for _ in range(3):
        worker(database, cipher, clock).connect(tenant).ticket("42", deadline)
        assert last_token(server) == "token-1"
    assert refreshes(server) == 1


def test_workers_that_start_at_once_refresh_once(
    server: ScriptedServer, database: Database, cipher: Cipher, clock: Clock, deadline: Deadline
) -> None:
    tenant = cloud_tenant(server.url)
    start = threading.Barrier(6)
    failures: list[EnhancerError] = []

    def work() -> None:
        desk = worker(database, cipher, clock).connect(tenant)
        start.wait()
        try:
            desk.ticket("42", deadline)
        except EnhancerError as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert refreshes(server) == 1
    assert len(server.calls("GET", TICKET_PATH)) == 6


def test_a_token_is_renewed_some_minutes_ahead(
    server: ScriptedServer, database: Database, cipher: Cipher, clock: Clock, deadline: Deadline
) -> None:
    desk = worker(database, cipher, clock).connect(cloud_tenant(server.url))
    desk.ticket("42", deadline)
    clock.now += timedelta(minutes=54)
    desk.ticket("42", deadline)
    assert last_token(server) == "token-1"
    clock.now += timedelta(minutes=2)
    desk.ticket("42", deadline)
    assert last_token(server) == "token-2"
    assert refreshes(server) == 2


def test_a_short_lived_token_is_used_for_most_of_its_life(
    server: ScriptedServer, database: Database, cipher: Cipher, clock: Clock, deadline: Deadline
) -> None:
    server.on("POST", TOKEN_PATH, token("token-1", expires_in=60), token("token-2"))
    desk = worker(database, cipher, clock).connect(cloud_tenant(server.url))
    desk.ticket("42", deadline)
    clock.now += timedelta(seconds=50)
    desk.ticket("42", deadline)
    assert last_token(server) == "token-1"
    clock.now += timedelta(seconds=5)
    desk.ticket("42", deadline)
    assert last_token(server) == "token-2"


def test_a_rejected_token_is_renewed_once_and_the_call_repeated(
    server: ScriptedServer, database: Database, cipher: Cipher, clock: Clock, deadline: Deadline
) -> None:
    first, second = (worker(database, cipher, clock).connect(cloud_tenant(server.url)) for _ in range(2))
    first.ticket("42", deadline)
    second.ticket("42", deadline)
    server.on("GET", TICKET_PATH, Reply(401), record("request", id="42"))
    assert first.ticket("42", deadline).ticket_id == "42"
    assert last_token(server) == "token-2"
    # The other worker finds the new token when its old one is rejected, and asks for none.
    server.on("GET", TICKET_PATH, Reply(401), record("request", id="42"))
    assert second.ticket("42", deadline).ticket_id == "42"
    assert last_token(server) == "token-2"
    assert refreshes(server) == 2


def test_a_service_desk_that_rejects_every_token_costs_one_refresh_a_minute(
    server: ScriptedServer, database: Database, cipher: Cipher, clock: Clock, deadline: Deadline
) -> None:
    server.on("GET", TICKET_PATH, Reply(401))
    desks = [worker(database, cipher, clock).connect(cloud_tenant(server.url)) for _ in range(2)]
    for minute, expected in enumerate([2, 3, 4]):
        for _ in range(5):
            for desk in desks:
                with pytest.raises(ServiceDeskUnauthorizedError):
                    desk.ticket("42", deadline)
        assert refreshes(server) == expected, minute
        clock.now += timedelta(minutes=1)


def test_new_credentials_do_not_use_the_old_ones_token(
    server: ScriptedServer, database: Database, cipher: Cipher, clock: Clock, deadline: Deadline
) -> None:
    connector = worker(database, cipher, clock)
    connector.connect(cloud_tenant(server.url)).ticket("42", deadline)
    connector.connect(cloud_tenant(server.url, refresh_token="1000.another")).ticket("42", deadline)
    assert last_token(server) == "token-2"
    assert server.calls("POST", TOKEN_PATH)[-1].form["refresh_token"] == "1000.another"


def test_a_token_under_a_lost_key_is_replaced(
    server: ScriptedServer, database: Database, cipher: Cipher, clock: Clock, deadline: Deadline
) -> None:
    tenant = cloud_tenant(server.url)
    worker(database, cipher, clock).connect(tenant).ticket("42", deadline)
    worker(database, Cipher(generate_key()), clock).connect(tenant).ticket("42", deadline)
    assert last_token(server) == "token-2"


def test_the_database_holds_no_readable_token(
    server: ScriptedServer, database: Database, cipher: Cipher, clock: Clock, deadline: Deadline
) -> None:
    worker(database, cipher, clock).connect(cloud_tenant(server.url)).ticket("42", deadline)
    with database.transaction() as connection:
        (row,) = connection.execute("SELECT * FROM pipeline.oauth_tokens").fetchall()
    assert b"token-1" not in row["token"]
    assert row["expires_at"] == clock.now + timedelta(hours=1)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(200, {"error": "invalid_code"}), ServiceDeskUnauthorizedError),
        (Reply(200, {"error": "invalid_client"}), ServiceDeskUnauthorizedError),
        (Reply(400, {"error": "no client has the-client-secret"}), ServiceDeskUnauthorizedError),
        (
            Reply(
                400,
                {
                    "error": "Access Denied",
                    "error_description": "You have made too many requests continuously",
                },
            ),
            ServiceDeskThrottledError,
        ),
        (Reply(500, b"<html>"), ServiceDeskUnavailableError),
        (Reply(200, b"<html>Log in</html>"), ServiceDeskUnavailableError),
        (Reply(reset=True), ServiceDeskUnavailableError),
    ],
)
def test_a_refused_refresh_says_so_and_shows_no_secret(
    server: ScriptedServer,
    database: Database,
    cipher: Cipher,
    clock: Clock,
    reply: Reply,
    error: type[EnhancerError],
) -> None:
    server.on("POST", TOKEN_PATH, reply)
    with pytest.raises(error, match="OAuth refresh") as caught:
        worker(database, cipher, clock).connect(cloud_tenant(server.url)).ticket("42", Deadline.after(20))
    assert type(caught.value) is error
    for secret in ("the-client-secret", "1000.the-refresh-token"):
        assert secret not in repr(caught.value)
    assert server.calls("GET", TICKET_PATH) == []
    if isinstance(caught.value, ServiceDeskThrottledError):
        assert caught.value.retry_after == 60
        assert refreshes(server) == 1


def test_a_worker_does_not_wait_for_another_beyond_its_deadline(
    database: Database, cipher: Cipher, clock: Clock
) -> None:
    store = PostgresTokenStore(database, cipher)
    entered, leave = threading.Event(), threading.Event()
    made = AccessToken(SecretStr("token-1"), "origin", clock.now, clock.now + timedelta(hours=1))

    def slow_refresh() -> AccessToken:
        entered.set()
        leave.wait()
        return made

    def take_long() -> None:
        store.renew("nimbus", lambda token: False, slow_refresh, Deadline.after(30))

    thread = threading.Thread(target=take_long)
    thread.start()
    try:
        entered.wait()
        with pytest.raises(ServiceDeskUnavailableError, match="another worker"):
            store.renew("nimbus", lambda token: True, lambda: made, Deadline.after(0.2))
        # Another tenant's token is another lock.
        assert store.renew("cumulus", lambda token: True, lambda: made, Deadline.after(5)) == made
    finally:
        leave.set()
        thread.join()
    assert store.load("nimbus") == made


def test_reprs_show_no_secret(clock: Clock) -> None:
    made = AccessToken(SecretStr("token-1"), "origin", clock.now, clock.now)
    assert "token-1" not in repr(made)
