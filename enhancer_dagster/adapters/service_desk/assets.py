"""The inventory, in the old form of SDP's asset interface and in that of builds from 15100.

Both spread it over several resources: one with everything, and one for each kind that adds what the first
omits. They are read one after the other as one long list, so an asset may come twice; what comes later
knows more.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from enhancer_dagster.adapters.service_desk.answers import MissingRecordError
from enhancer_dagster.adapters.service_desk.api import Api, Row
from enhancer_dagster.adapters.service_desk.fields import moment, name, readable, text
from enhancer_dagster.adapters.service_desk.list_queries import page
from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.ports import Page
from enhancer_dagster.domain.text import html_to_text, shorten
from enhancer_dagster.domain.tickets import Asset

NEW_FORM = (
    "asset_assets",
    "asset_workstations",
    "asset_servers",
    "asset_virtual_machines",
    "asset_virtual_hosts",
    "asset_switches",
    "asset_routers",
    "asset_firewalls",
    "asset_access_points",
    "asset_printers",
)
OLD_FORM = ("assets", "workstations")

LONGEST_ROLE = 60
RESOURCE_STRIDE = 10_000_000
"""An index from here on belongs to the second resource, from twice this on to the third, and so on."""

_ROLES = {
    "asset_workstations": "Workstation",
    "asset_servers": "Server",
    "asset_virtual_machines": "Virtual Machine",
    "asset_virtual_hosts": "Virtual Host",
    "asset_switches": "Switch",
    "asset_routers": "Router",
    "asset_firewalls": "Firewall",
    "asset_access_points": "Access Point",
    "asset_printers": "Printer",
}
_ADDRESS_FIELDS = ("primary_ip", "ip_address", "ip_addresses")
_ADAPTER_FIELDS = ("network_adapters", "network")
# No recording shows where a scan's time is; failing it, when the record was last changed.
_SEEN_FIELDS = ("last_scan_time", "last_scanned_time", "last_updated_time")
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_DOMAIN_NAME = re.compile(rf"(?:{_LABEL}\.)+[A-Za-z]{{2,63}}\.?")


@dataclass
class AssetForm:
    """Which of the two forms a tenant's build has: found out by one call, then remembered."""

    resources: tuple[str, ...] | None = None


def asset_page(api: Api, form: AssetForm, start_index: int, deadline: Deadline) -> Page[Asset]:
    """A page of the inventory from `start_index`, which is 1 or the last page's `next_index`."""
    resources = form.resources or _find_out(api, form, deadline)
    number, index = divmod(start_index, RESOURCE_STRIDE)
    number = min(number, len(resources) - 1)
    rest = (number + 1) * RESOURCE_STRIDE + 1 if number + 1 < len(resources) else None
    try:
        found = api.rows(resources[number], (resources[number],), page(index), deadline)
    except MissingRecordError:
        # Not every build has every kind of asset.
        return Page((), rest)
    assets = [asset_from(row, resources[number]) for row in found.rows]
    more = found.has_more and len(found.rows) > 0
    return Page(assets, start_index + len(found.rows) if more else rest)


def asset_from(row: Row, resource: str) -> Asset:
    """An asset with every address and host name that its record holds, custom fields included."""
    own_fields = [value.strip() for value in _custom_values(row)]
    names = [name(row.get("name")), *(value for value in own_fields if _DOMAIN_NAME.fullmatch(value))]
    with readable("an asset"):
        return Asset(
            asset_id=text(row.get("id")),
            name=text(row.get("name")),
            hostnames=_distinct(n for n in names if _HOST_NAME.fullmatch(n) and _as_address(n) is None),
            addresses=_distinct(a for a in map(_as_address, [*_addresses(row), *own_fields]) if a),
            role=_role(row, resource),
            state=name(row.get("state")),
            site=name(row.get("site")) or name(row.get("location")),
            last_seen=next((seen for field in _SEEN_FIELDS if (seen := moment(row.get(field)))), None),
        )


def _role(row: Row, resource: str) -> str:
    # SDP has no field for what a machine is for; its description says so where people keep one.
    described = shorten(html_to_text(text(row.get("description"))), LONGEST_ROLE)
    return described or name(row.get("product_type")) or _ROLES.get(resource, "")


def _find_out(api: Api, form: AssetForm, deadline: Deadline) -> tuple[str, ...]:
    try:
        api.rows(NEW_FORM[0], (NEW_FORM[0],), page(1, row_count=1), deadline)
        form.resources = NEW_FORM
    except MissingRecordError:
        form.resources = OLD_FORM
    return form.resources


def _addresses(row: Row) -> Iterator[str]:
    for field in _ADDRESS_FIELDS:
        yield from _split(row.get(field))
    for field in _ADAPTER_FIELDS:
        adapters = row.get(field)
        for adapter in adapters if isinstance(adapters, list) else [adapters]:
            if isinstance(adapter, Mapping):
                for address_field in _ADDRESS_FIELDS:
                    yield from _split(adapter.get(address_field))


def _split(value: object) -> Iterator[str]:
    """The parts of a list, or of a string that separates them by commas, semicolons or blanks."""
    for part in value if isinstance(value, list) else [value]:
        yield from re.split(r"[\s,;]+", name(part))


def _as_address(value: str) -> str | None:
    """The canonical form of an IPv4 or IPv6 address; a prefix length or zone is dropped."""
    try:
        return str(ip_address(value.partition("/")[0].partition("%")[0]))
    except ValueError:
        return None


def _custom_values(row: Row) -> Iterator[str]:
    """The strings in a tenant's own fields (`udf_…`), which are at the top or in a container."""
    for key, value in row.items():
        if isinstance(value, Mapping) and key.endswith("udf_fields"):
            yield from (v for v in value.values() if isinstance(v, str))
        elif isinstance(value, str) and key.startswith("udf_"):
            yield value


def _distinct(values: Iterator[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value.rstrip(".") for value in values))
