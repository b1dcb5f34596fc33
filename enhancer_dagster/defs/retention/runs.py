"""Old runs with their events, logs and op outputs.

A run and its re-executions are one family: a re-execution loads every ancestor, and may read what an op of
the first one put out. So a family is kept or forgotten whole, by the age of its youngest member, and never
while one of its runs is open. The run that made what an asset is now stays too, however old.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

import dagster as dg

from enhancer_dagster.adapters.op_outputs import OpOutputs
from enhancer_dagster.defs.run_statuses import ENDED

ROOT_TAG = "dagster/root_run_id"
CHUNK = 200
MOST_RUNS = 100_000
"""Of one turn; what is left is next night's."""

Tell = Callable[[str], None]
Part = TypeVar("Part")


@dataclass
class PrunedRuns:
    """What a turn did. `kept` are old runs that something young, open or present hangs on."""

    runs: int = 0
    op_outputs: int = 0
    kept: int = 0


@dataclass(frozen=True)
class Past:
    """Whose runs are pruned.

    Attributes:
        outputs: Where op outputs are.
        tags: Only runs with these tags, so that other projects on the same instance keep theirs.
        tell: Is told of progress.
    """

    instance: dg.DagsterInstance
    outputs: OpOutputs
    tags: Mapping[str, str] = field(default_factory=dict)
    tell: Tell = lambda _: None


def prune_runs(past: Past, before: datetime) -> PrunedRuns:
    """Forget families of runs whose last change was before that moment, and outputs that no run owns.

    Args:
        past: Whose.
        before: What is younger stays.
    """
    pruned = PrunedRuns()
    needed = _makers_of_assets(past.instance)
    done: set[str] = set()
    for chunk in _chunks(_old_runs(past, before)):
        for family in _families(past.instance, [run_id for run_id in chunk if run_id not in done]):
            run_ids = [record.dagster_run.run_id for record in family]
            done.update(run_ids)
            if needed.isdisjoint(run_ids) and all(_is_past(record, before) for record in family):
                pruned.op_outputs += _forget(past, run_ids)
                pruned.runs += len(run_ids)
            else:
                pruned.kept += len(run_ids)
        past.tell(f"{pruned.runs} runs pruned, {pruned.kept} kept")
    pruned.op_outputs += _prune_orphans(past, before)
    return pruned


def _chunks(parts: Sequence[Part]) -> Iterator[Sequence[Part]]:
    return (parts[start : start + CHUNK] for start in range(0, len(parts), CHUNK))


def _old_runs(past: Past, before: datetime) -> Sequence[str]:
    wanted = dg.RunsFilter(statuses=ENDED, updated_before=before, tags=past.tags)
    return past.instance.get_run_ids(wanted, limit=MOST_RUNS)


def _families(instance: dg.DagsterInstance, run_ids: Sequence[str]) -> Iterator[Sequence[dg.RunRecord]]:
    if not run_ids:
        return
    first = instance.get_run_records(dg.RunsFilter(run_ids=run_ids))
    roots = sorted({_root(record) for record in first})
    members = [
        *instance.get_run_records(dg.RunsFilter(run_ids=roots)),
        *instance.get_run_records(dg.RunsFilter(tags={ROOT_TAG: roots})),
        *first,
    ]
    by_root: dict[str, dict[str, dg.RunRecord]] = {}
    for record in members:
        by_root.setdefault(_root(record), {})[record.dagster_run.run_id] = record
    for family in by_root.values():
        yield list(family.values())


def _root(record: dg.RunRecord) -> str:
    return record.dagster_run.tags.get(ROOT_TAG, record.dagster_run.run_id)


def _is_past(record: dg.RunRecord, before: datetime) -> bool:
    return record.dagster_run.status in ENDED and record.update_timestamp < before


def _makers_of_assets(instance: dg.DagsterInstance) -> set[str]:
    """Runs whose materialization is the last one of an asset or of one of its partitions."""
    makers: set[str] = set()
    for asset in instance.all_asset_keys():
        last = instance.get_latest_materialization_event(asset)
        if last is not None:
            makers.add(last.run_id)
        stored = instance.event_log_storage.get_latest_storage_id_by_partition(
            asset, dg.DagsterEventType.ASSET_MATERIALIZATION
        )
        for chunk in _chunks(list(stored.values())):
            wanted = dg.AssetRecordsFilter(asset_key=asset, storage_ids=list(chunk))
            found = instance.fetch_materializations(wanted, limit=len(chunk)).records
            makers.update(record.run_id for record in found)
    return makers


def _forget(past: Past, run_ids: Iterable[str]) -> int:
    # Runs go first: outputs that a crash leaves behind are found as orphans, a run without outputs is not.
    ids = list(run_ids)
    for run_id in ids:
        past.instance.delete_run(run_id)
        past.instance.compute_log_manager.delete_logs(prefix=[run_id])
    return past.outputs.delete(ids)


def _prune_orphans(past: Past, before: datetime) -> int:
    """Outputs of runs that are gone, as somebody may delete a run in the UI."""
    deleted = 0
    for chunk in _chunks(past.outputs.run_ids(before)):
        there = {run.run_id for run in past.instance.get_runs(dg.RunsFilter(run_ids=list(chunk)))}
        deleted += past.outputs.delete([run_id for run_id in chunk if run_id not in there])
    return deleted
