"""ServiceDesk Plus over its REST API v3, on premises and cloud.

`connector` is the way in. Below it: `client` (the port's verbs), `api` (one call: log-in, retries, meaning of
the answer), `wire` (one HTTP exchange; the only module that knows httpx).
"""

from enhancer_dagster.adapters.service_desk.connector import ServiceDeskConnector
from enhancer_dagster.adapters.service_desk.token_store import PostgresTokenStore

__all__ = ["PostgresTokenStore", "ServiceDeskConnector"]
