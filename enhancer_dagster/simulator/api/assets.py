"""The inventory, in the form before build 15100 (`/assets`, `/workstations`) and in the one from then on.

The old form follows the recorded items; the new one ManageEngine's note on the change, which names
`asset_assets`, a path for each product type, `primary_ip` and `network_adapters.ip_address`. Where a scan's
time is shown is not recorded: here it is `last_updated_time`.
"""

import re

from enhancer_dagster.simulator.answers import Answer, Json, entity, not_found
from enhancer_dagster.simulator.api.call import Call
from enhancer_dagster.simulator.listing import Listed, list_answer, read_shown
from enhancer_dagster.simulator.records import Asset
from enhancer_dagster.simulator.values import shown_time

ALL_ASSETS = "asset_assets"
_WORKSTATION_TYPES = frozenset({"Desktop", "Laptop", "Workstation"})
_OTHER_TYPES = frozenset({"Printer", "Phone", "Access Point", "UPS", "Scanner", "Monitor", "Projector"})
_NAMED_MODULES = frozenset(
    {
        *("asset_assets", "asset_computers", "asset_workstations", "asset_servers", "asset_switches"),
        *("asset_virtual_machines", "asset_virtual_hosts", "asset_routers", "asset_firewalls"),
        *("asset_printers", "asset_access_points"),
    }
)
_COMMON_FIELDS = {"id", "name", "asset_tag", "description", "site", "vendor", "product_type", "state"}
_OLD_FIELDS = _COMMON_FIELDS | {
    "location",
    "computer_system",
    "ip_addresses",
    "udf_fields",
    "last_updated_time",
}
_NEW_FIELDS = _COMMON_FIELDS | {
    *("module", "product", "barcode", "primary_ip", "network_adapters", "udf_fields", "user", "department"),
    *("created_time", "last_updated_time"),
}


def list_assets(call: Call) -> Answer:
    """GET /assets."""
    return _list_old(call, "assets")


def list_workstations(call: Call) -> Answer:
    """GET /workstations: the assets but for those that are no computer and no network device."""
    return _list_old(call, "workstations")


def show_asset(call: Call) -> Answer:
    """GET /assets/{id}."""
    return _show_old(call, "assets")


def show_workstation(call: Call) -> Answer:
    """GET /workstations/{id}."""
    return _show_old(call, "workstations")


def list_new(call: Call) -> Answer:
    """GET /asset_assets, /asset_servers and the like."""
    module = _new_module(call)
    rows = [_new(asset) for asset in list(call.desk.assets.values()) if _is_of_new(asset, module)]
    return _list(call, module, rows, _NEW_FIELDS)


def show_new(call: Call) -> Answer:
    """GET /asset_servers/{id} and the like."""
    module = _new_module(call)
    asset = call.desk.assets.get(call.path["asset_id"])
    if asset is None or not _is_of_new(asset, module):
        raise not_found()
    return entity(_singular(module), _new(asset))


def module_of(product_type: str) -> str:
    """The path of a product type: `asset_servers` for "Server"."""
    if product_type in _WORKSTATION_TYPES:
        return "asset_workstations"
    name = re.sub(r"[^a-z0-9]+", "_", product_type.lower()).strip("_")
    return f"asset_{name}es" if name.endswith(("s", "x", "ch", "sh")) else f"asset_{name}s"


def _singular(module: str) -> str:
    return module.removesuffix("es") if module.endswith(("ches", "shes", "xes")) else module.removesuffix("s")


def _list_old(call: Call, kind: str) -> Answer:
    _require_old_form(call)
    rows = [_old(asset) for asset in list(call.desk.assets.values()) if _is_of_old(asset, kind)]
    return _list(call, kind, rows, _OLD_FIELDS)


def _show_old(call: Call, kind: str) -> Answer:
    _require_old_form(call)
    asset = call.desk.assets.get(call.path["asset_id"])
    if asset is None or not _is_of_old(asset, kind):
        raise not_found()
    return entity(kind.removesuffix("s"), _old(asset))


def _require_old_form(call: Call) -> None:
    if call.options.has_new_asset_api:
        raise not_found()


def _new_module(call: Call) -> str:
    module = f"asset_{call.path['module']}"
    known = _NAMED_MODULES | {module_of(asset.product_type) for asset in list(call.desk.assets.values())}
    if not call.options.has_new_asset_api or module not in known:
        raise not_found()
    return module


def _is_of_old(asset: Asset, kind: str) -> bool:
    return kind == "assets" or asset.product_type not in _OTHER_TYPES


def _is_of_new(asset: Asset, module: str) -> bool:
    if module == "asset_computers":
        return module_of(asset.product_type) in {"asset_workstations", "asset_servers"}
    return module in {ALL_ASSETS, module_of(asset.product_type)}


def _list(call: Call, name: str, rows: list[Json], fields: set[str]) -> Answer:
    listed = Listed(
        name=name,
        rows=rows,
        knows=fields.__contains__,
        read=read_shown,
        show=lambda row: row,
        full=lambda row: row,
        default_sort=("id", "asc"),
    )
    return list_answer(listed, call.input_data, call.dialect)


def _named(name: str) -> Json | None:
    return {"name": name} if name else None


def _other_names(asset: Asset) -> dict[str, str]:
    others = [name for name in asset.hostnames if name != asset.name]
    return {f"udf_sline_{14115 + position}": name for position, name in enumerate(others)}


def _common(asset: Asset) -> Json:
    return {
        "id": asset.asset_id,
        "name": asset.name,
        "asset_tag": f"TAG-{asset.asset_id}",
        "description": asset.role,
        "site": _named(asset.site),
        "vendor": None,
        "product_type": _named(asset.product_type),
        "state": _named(asset.state),
        "udf_fields": _other_names(asset),
        "last_updated_time": shown_time(asset.last_seen),
    }


def _old(asset: Asset) -> Json:
    shown = _common(asset) | {
        "location": _named(asset.site),
        "computer_system": {
            "service_tag": f"SVC{asset.asset_id}",
            "model": None,
            "system_manufacturer": None,
        },
    }
    # As recorded, the key is not there where nothing was found.
    return shown | ({"ip_addresses": ", ".join(asset.addresses)} if asset.addresses else {})


def _new(asset: Asset) -> Json:
    module = module_of(asset.product_type)
    adapters = [
        {"id": f"{asset.asset_id}{position}", "name": f"eth{position}", "ip_address": address}
        for position, address in enumerate(asset.addresses)
    ]
    return _common(asset) | {
        "module": {"name": asset.product_type, "api_name": _singular(module), "api_plural_name": module},
        "product": _named(asset.product_type),
        "barcode": None,
        "primary_ip": asset.addresses[0] if asset.addresses else None,
        "network_adapters": adapters,
        "user": None,
        "department": None,
        "created_time": shown_time(asset.last_seen),
    }
