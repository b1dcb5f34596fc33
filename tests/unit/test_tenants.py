import json

import psycopg
import pytest
from pydantic import SecretStr, ValidationError

from enhancer_dagster.adapters.secrets import Cipher, generate_key
from enhancer_dagster.adapters.tenants import TenantStore
from enhancer_dagster.database import Database
from enhancer_dagster.domain.errors import ConfigurationError
from enhancer_dagster.domain.tenants import Edition, ServiceDeskConnection, Tenant
from tests.factories import make_tenant


@pytest.fixture
def store(database_url: SecretStr) -> TenantStore:
    return TenantStore(Database(database_url), Cipher(generate_key()))


def test_a_tenant_comes_back_as_it_was_stored(store: TenantStore) -> None:
    tenant = make_tenant("acme", webhook_secrets=(SecretStr("one"), SecretStr("two")))
    store.add(tenant, changed_by="test")
    assert store.get("acme") == tenant
    assert [t.tenant_id for t in store.list_all()] == ["acme"]


def test_no_secret_is_readable_in_the_database(store: TenantStore, database_url: SecretStr) -> None:
    desk = ServiceDeskConnection(
        edition=Edition.CLOUD,
        base_url="https://sdp.example.com/app/it",
        client_secret=SecretStr("canary-client"),
        refresh_token=SecretStr("canary-refresh"),
    )
    store.add(make_tenant("acme", service_desk=desk, webhook_secrets=(SecretStr("canary-hook"),)), "test")
    store.update(make_tenant("acme", webhook_secrets=(SecretStr("canary-new"),)), "test", "rotate-secret")
    with psycopg.connect(database_url.get_secret_value()) as connection:
        for table in ("tenants", "tenant_audit"):
            rows = connection.execute(f"SELECT t::text FROM registry.{table} t").fetchall()
            assert "canary" not in str(rows)
            assert rows


def test_the_audit_names_what_changed_and_by_whom(store: TenantStore) -> None:
    store.add(make_tenant("acme"), "root@desk")
    store.update(
        make_tenant("acme", active=False, webhook_secrets=(SecretStr("new"),)), "eve@desk", "disable"
    )
    newest, first = store.audit("acme")
    assert (first.action, first.changed_by) == ("add", "root@desk")
    assert (newest.action, newest.changed_by) == ("disable", "eve@desk")
    assert newest.changes == {"active": {"from": True, "to": False}, "webhook_secrets": "changed"}


def test_an_unknown_tenant_is_an_error_that_says_what_to_do(store: TenantStore) -> None:
    with pytest.raises(ConfigurationError, match="enhancer tenants list"):
        store.get("nobody")
    with pytest.raises(ConfigurationError, match="no tenant"):
        store.update(make_tenant("nobody"), "test")


def test_a_tenant_is_not_added_over_another(store: TenantStore) -> None:
    store.add(make_tenant("acme", name="first"), "test")
    with pytest.raises(ConfigurationError, match="already"):
        store.add(make_tenant("acme", name="second"), "test")
    assert store.get("acme").name == "first"


def test_keys_rotate(database_url: SecretStr) -> None:
    old, new = generate_key(), generate_key()
    database = Database(database_url)
    both = SecretStr(f"{new.get_secret_value()},{old.get_secret_value()}")
    TenantStore(database, Cipher(old)).add(make_tenant("acme"), "test")
    assert TenantStore(database, Cipher(both)).reencrypt("root@desk") == 1
    assert TenantStore(database, Cipher(new)).audit("acme")[0].changed_by == "root@desk"
    assert TenantStore(database, Cipher(new)).get("acme").tenant_id == "acme"
    with pytest.raises(ConfigurationError, match="ENHANCER_SECRET_KEY"):
        TenantStore(database, Cipher(old)).get("acme")


def test_a_key_that_is_none_is_refused_without_being_shown() -> None:
    with pytest.raises(ConfigurationError) as refused:
        Cipher(SecretStr("canary"))
    assert "canary" not in str(refused.value)


def test_no_repr_shows_a_secret(store: TenantStore) -> None:
    tenant: Tenant = make_tenant("acme", webhook_secrets=(SecretStr("canary"),))
    assert "canary" not in repr(tenant)
    assert "canary" not in json.dumps(tenant.model_dump(mode="json"))
    assert "postgresql" not in repr(store)


@pytest.mark.parametrize(
    "host", ["https://wiki.example", "wiki.example/x", "user@wiki.example", "*.example", ""]
)
def test_a_trusted_host_is_a_host_and_nothing_else(host: str) -> None:
    with pytest.raises(ValidationError):
        Tenant(**(make_tenant().model_dump() | {"link_hosts": (host,)}))
    assert Tenant(**(make_tenant().model_dump() | {"link_hosts": (" Wiki.Example ",)})).link_hosts == (
        "wiki.example",
    )
