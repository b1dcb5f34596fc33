"""What differs between the editions: names, ids and the keys of every answer."""

from enhancer_dagster.domain.tenants import Edition
from enhancer_dagster.simulator.dialects.base import Dialect
from enhancer_dagster.simulator.dialects.cloud import CloudDialect
from enhancer_dagster.simulator.dialects.onprem import OnPremisesDialect

__all__ = ["Dialect", "dialect_of"]


def dialect_of(edition: Edition) -> Dialect:
    """The dialect that `edition` speaks."""
    return OnPremisesDialect() if edition is Edition.ONPREM else CloudDialect()
