"""The partitions definition that all index assets share."""

import dagster as dg

TENANTS = dg.DynamicPartitionsDefinition(name="tenants")
"""One partition a tenant; its key is the tenant's id."""
