"""What a run worker's template loads before it forks: modules that take long, and the published indexes."""

from importlib import import_module

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
    snapshot_search(settings).preload(tenants_with_index(settings.index_location))
