"""What a run worker's template loads before it forks: modules that take long, and the published indexes."""

from importlib import import_module

from loguru import logger

from enhancer_dagster.adapters.llm import preload as preload_llm
from enhancer_dagster.defs.assembly import snapshot_search
from enhancer_dagster.domain.redaction import find_credentials
from enhancer_dagster.search.location import tenants_with_index
from enhancer_dagster.settings import load_settings


def preload() -> None:
    """Load what the first ticket would otherwise wait for. Opens no connection and starts no thread."""
    settings = load_settings()
    import_module("httpcore")  # httpx imports it with its first client: 0.5 CPU seconds a worker
    preload_llm()
    find_credentials("")  # loads its detectors
    try:
        snapshot_search(settings).preload(tenants_with_index(settings.index_location))
    except OSError as error:
        # The location may be on another host: tickets are enhanced without it, and look for it again.
        logger.warning("no index is loaded: {} cannot be read: {}", settings.index_location, error)
