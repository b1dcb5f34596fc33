"""A webhook secret is replaced under traffic: what the old one signs is taken in until it is dropped."""

import itertools
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from enhancer_dagster.adapters.secrets import Cipher, generate_key
from enhancer_dagster.adapters.tenants import TenantStore
from enhancer_dagster.cli import app
from enhancer_dagster.database import Database
from tests.bridge_server import SECRET, RunningBridge, eventually, running_bridge
from tests.factories import make_tenant

Rotate = Callable[..., str]


@pytest.fixture
def key() -> SecretStr:
    return generate_key()


@pytest.fixture
def tenants(database_url: SecretStr, key: SecretStr) -> TenantStore:
    store = TenantStore(Database(database_url), Cipher(key))
    store.add(make_tenant(), "test")
    return store


@pytest.fixture
def rotate(
    database_url: SecretStr,
    key: SecretStr,
    postgres: object,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Rotate:
    """`enhancer tenants rotate-secret acme`, and what it prints."""
    monkeypatch.setenv("ENHANCER_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("ENHANCER_DATABASE_URL", database_url.get_secret_value())
    monkeypatch.setenv("ENHANCER_SECRET_KEY", key.get_secret_value())
    monkeypatch.setenv("ENHANCER_CLAIM_TOKEN", "unused")
    monkeypatch.setenv("COLUMNS", "200")

    def run(*options: str, status: int = 0) -> str:
        done = CliRunner().invoke(app, ["tenants", "rotate-secret", "acme", *options])
        assert done.exit_code == status, done.output
        return done.output

    return run


def test_a_rotation_has_no_gap(tenants: TenantStore, database_url: SecretStr, rotate: Rotate) -> None:
    with running_bridge(database_url, tenants) as bridge:
        codes: set[int] = set()
        over = threading.Event()
        sender = threading.Thread(target=_send_until, args=(bridge, over, codes))
        sender.start()
        try:
            shown = rotate()
            new = next(word for word in shown.split() if word.startswith("whsec_"))
            eventually(lambda: bridge.send(secret=new, ticket_id="new").status_code == 202)
            rotate()
        finally:
            over.set()
            sender.join(30)
        assert codes == {202}
        newest = tenants.get("acme").webhook_secrets[0].get_secret_value()
        eventually(lambda: bridge.send(secret=newest, ticket_id="newest").status_code == 202)
        rotate("--drop-old")
        eventually(lambda: bridge.send(ticket_id="old").status_code == 401)
        assert bridge.send(secret=new, ticket_id="middle").status_code == 401
        assert bridge.send(secret=newest, ticket_id="after").status_code == 202


def test_a_fourth_secret_is_refused_in_words(tenants: TenantStore, rotate: Rotate) -> None:
    rotate()
    rotate()
    assert "--drop-old" in rotate(status=1)
    assert len(tenants.get("acme").webhook_secrets) == 3
    rotate("--drop-old")
    rotate()
    actions = [entry.action for entry in tenants.audit("acme")]
    assert actions == ["rotate-secret", "drop-old-secrets", "rotate-secret", "rotate-secret", "add"]


def _send_until(bridge: RunningBridge, over: threading.Event, codes: set[int]) -> None:
    for number in itertools.count():
        codes.add(bridge.send(secret=SECRET, ticket_id=f"t{number}").status_code)
        if over.wait(0.03):  # below the tenant's limit of 50 a second
            return
