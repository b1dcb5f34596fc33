"""Addresses and host names of the inventory, found in a text by their keys."""

import ipaddress
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

import numpy as np

from enhancer_dagster.domain.addresses import find_addresses, find_host_names
from enhancer_dagster.domain.context import IpInfo
from enhancer_dagster.domain.tickets import Asset
from enhancer_dagster.search.analysis import term_keys
from enhancer_dagster.search.arrays import open_array, save_array
from enhancer_dagster.search.records import Record, Records, build_records


def build_inventory(folder: Path, assets: Iterable[Asset]) -> int:
    """Write the inventory into `folder`; returns the number of assets."""
    folder.mkdir(parents=True)
    keys: list[str] = []
    rows: list[int] = []
    records: list[Record] = []
    for asset in assets:
        for key in dict.fromkeys(_keys_of(asset)):
            keys.append(key)
            rows.append(len(records))
        records.append(_record(asset))
    hashed = term_keys(keys)
    order = np.argsort(hashed, kind="stable")  # of two machines with one name, the first one counts
    save_array(folder, "keys", hashed[order])
    save_array(folder, "rows", np.array(rows, dtype=np.int64)[order])
    build_records(folder, records)
    return len(records)


class Inventory:
    """A built inventory, opened.

    Args:
        folder: Where `build_inventory` wrote it.
    """

    def __init__(self, folder: Path) -> None:
        self._keys = open_array(folder, "keys")
        self._rows = open_array(folder, "rows")
        self._records = Records(folder)

    def find(self, text: str) -> list[IpInfo]:
        """What is known of every address and every known host name in `text`; one entry a machine.

        An address that is not known comes back with nothing but itself.
        """
        found: list[IpInfo] = []
        machines: set[int] = set()
        for address in find_addresses(text):
            row = self._row(f"address:{address}")
            if row is None:
                found.append(IpInfo(ip=address))
            else:
                machines.add(row)
                found.append(_info(self._records[row], address))
        for row in self._named_in(text):
            if row not in machines:
                machines.add(row)
                record = self._records[row]
                found.append(_info(record, record["address"]))
        return found

    def _named_in(self, text: str) -> Iterator[int]:
        names = find_host_names(text)
        # Of a name with dots its first label comes as well: alone it would match a host of another domain.
        labels = {name.partition(".")[0] for name in names if "." in name}
        for name in names:
            short, _, domain = name.partition(".")
            if domain:
                keys = (f"name:{name}", f"bare:{short}")
            else:
                keys = () if name in labels else (f"name:{name}", f"short:{name}")
            row = next((row for key in keys if (row := self._row(key)) is not None), None)
            if row is not None:
                yield row

    def _row(self, key: str) -> int | None:
        sought = term_keys([key])[0]
        at = int(np.searchsorted(self._keys, sought))
        return int(self._rows[at]) if at < len(self._keys) and self._keys[at] == sought else None


def _keys_of(asset: Asset) -> Iterator[str]:
    for address in asset.addresses:
        yield f"address:{_canonical(address)}"
    for name in (*asset.hostnames, asset.name):
        plain = name.strip().rstrip(".").casefold()
        if plain not in find_host_names(plain):
            continue
        short, _, domain = plain.partition(".")
        yield f"name:{plain}"
        yield f"short:{short}" if domain else f"bare:{plain}"


def _canonical(address: str) -> str:
    try:
        return str(ipaddress.ip_address(address.strip()))
    except ValueError:
        return address.strip()


def _record(asset: Asset) -> Record:
    return {
        "hostname": next(iter(asset.hostnames), None) or asset.name or None,
        "role": asset.role or None,
        "last_seen": asset.last_seen.isoformat() if asset.last_seen else None,
        "address": _canonical(asset.addresses[0]) if asset.addresses else None,
    }


def _info(record: Record, address: str | None) -> IpInfo:
    seen = record["last_seen"]
    return IpInfo(
        ip=address,
        hostname=record["hostname"],
        role=record["role"],
        last_seen=datetime.fromisoformat(seen) if seen else None,
    )
