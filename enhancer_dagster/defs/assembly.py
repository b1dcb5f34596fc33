"""From settings to ports: the one place where adapters are chosen. Nothing is connected yet."""

from functools import lru_cache
from pathlib import Path

from pydantic import SecretStr

from enhancer_dagster.adapters.bridge_client import BridgeClient
from enhancer_dagster.adapters.history import PostgresHistory
from enhancer_dagster.adapters.llm import OpenAiGateway
from enhancer_dagster.adapters.op_outputs import OpOutputs
from enhancer_dagster.adapters.secrets import Cipher
from enhancer_dagster.adapters.service_desk import PostgresTokenStore, ServiceDeskConnector
from enhancer_dagster.adapters.tenants import TenantStore
from enhancer_dagster.database import Database
from enhancer_dagster.defs.earlier_work import StoredWork
from enhancer_dagster.domain.errors import ConfigurationError
from enhancer_dagster.domain.ports import Ports
from enhancer_dagster.search.query import SnapshotSearch
from enhancer_dagster.search.settings import SearchSettings
from enhancer_dagster.settings import Settings


def ports_of(settings: Settings) -> Ports:
    """The adapters that `settings` describe.

    Raises:
        ConfigurationError: A setting without which nothing works is missing.
    """
    url = required(settings.database_url, "ENHANCER_DATABASE_URL")
    cipher = Cipher(required(settings.secret_key, "ENHANCER_SECRET_KEY"))
    database = Database(url)
    bridge = _bridge_client(settings.claim_api, required(settings.claim_token, "ENHANCER_CLAIM_TOKEN"))
    language_model, why_none = _language_model(settings)
    return Ports(
        tenants=TenantStore(database, cipher),
        service_desks=ServiceDeskConnector(
            tokens=PostgresTokenStore(database, cipher), destinations=settings.destinations
        ),
        search=snapshot_search(settings),
        history=PostgresHistory(Database(settings.history_database_url or url, max_size=2)),
        queue=bridge,
        intake=bridge,
        ledger=bridge,
        earlier=StoredWork(OpOutputs(database)),
        language_model=language_model,
        why_no_language_model=why_none,
    )


def snapshot_search(settings: Settings) -> SnapshotSearch:
    """The index, one object a process, so that what was loaded before a fork is used after it."""
    return _snapshot_search(settings.index_location, settings.index_cache, SearchSettings.of(settings))


def op_outputs(settings: Settings) -> OpOutputs:
    """Where the outputs of ops are.

    Raises:
        ConfigurationError: There is no database.
    """
    return OpOutputs(Database(required(settings.database_url, "ENHANCER_DATABASE_URL")))


@lru_cache(maxsize=2)
def _snapshot_search(location: str, cache_dir: Path, search: SearchSettings) -> SnapshotSearch:
    return SnapshotSearch(location, cache_dir, search)


@lru_cache(maxsize=2)
def _bridge_client(base_url: str, token: SecretStr) -> BridgeClient:
    """One a process: to make one for each run costs 25 ms of CPU, for TLS settings, and a connection."""
    return BridgeClient(base_url, token)


def required(secret: SecretStr | None, variable: str) -> SecretStr:
    """`secret`.

    Raises:
        ConfigurationError: It is not set.
    """
    if secret is None:
        raise ConfigurationError(
            f"{variable} is not set: `enhancer up` sets it for the processes it starts; a process started by "
            "hand needs it in its environment"
        )
    return secret


def _language_model(settings: Settings) -> tuple[OpenAiGateway | None, str]:
    if not settings.llm_enabled:
        return None, "ENHANCER_LLM_ENABLED is false"
    key = settings.llm_api_key
    if key is None:
        return None, "no key for the LLM gateway: set OPENROUTER_API_KEY or ENHANCER_LLM_API_KEY"
    prices = {model: (price.prompt, price.completion) for model, price in settings.llm_prices.items()}
    try:
        gateway = OpenAiGateway(
            settings.llm_base_url, key, settings.llm_provider, prices, destinations=settings.destinations
        )
    except ConfigurationError as error:
        return None, str(error)
    return gateway, ""
