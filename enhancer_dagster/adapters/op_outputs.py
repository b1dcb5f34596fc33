"""Outputs of ops as readable JSON in PostgreSQL, where every worker finds them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from enhancer_dagster.database import Database
from enhancer_dagster.domain.errors import PermanentError

SAVE = """
    INSERT INTO pipeline.op_outputs (run_id, step_key, name, mapping_key, value)
    VALUES (%(run_id)s, %(step_key)s, %(name)s, %(mapping_key)s, %(value)s)
    ON CONFLICT (run_id, step_key, name, mapping_key) DO UPDATE SET value = excluded.value, created_at = now()
"""
LOAD = """
    SELECT value FROM pipeline.op_outputs
    WHERE run_id = %(run_id)s AND step_key = %(step_key)s
      AND name = %(name)s AND mapping_key = %(mapping_key)s
"""
OF_RUNS = """
    SELECT run_id, step_key, value FROM pipeline.op_outputs WHERE run_id = ANY(%s) AND name = %s
"""
DELETE = "DELETE FROM pipeline.op_outputs WHERE run_id = ANY(%s)"
OLD_RUNS = "SELECT run_id FROM pipeline.op_outputs GROUP BY run_id HAVING max(created_at) < %s"


class OpOutputs:
    """A table of JSON values under (run id, step key, output name, mapping key)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, value: Any, *, run_id: str, step_key: str, name: str, mapping_key: str = "") -> None:
        """Store `value`, which must be JSON; a retried step replaces what it stored before."""
        key = {"run_id": run_id, "step_key": step_key, "name": name, "mapping_key": mapping_key}
        with self._database.transaction() as connection:
            connection.execute(SAVE, key | {"value": Jsonb(value)})

    def load(self, *, run_id: str, step_key: str, name: str, mapping_key: str = "") -> Any:
        """What was stored.

        Raises:
            PermanentError: Nothing was, or it has been pruned.
        """
        key = {"run_id": run_id, "step_key": step_key, "name": name, "mapping_key": mapping_key}
        with self._database.transaction() as connection:
            row = connection.execute(LOAD, key).fetchone()
        if row is None:
            raise PermanentError(
                f"run {run_id} has no stored output of {step_key}.{name}: it is older than the retention; "
                "re-execute all steps instead"
            )
        return row["value"]

    def of_runs(self, run_ids: Sequence[str], name: str) -> dict[tuple[str, str], Any]:
        """The outputs called `name` of all steps of these runs, by run and step."""
        with self._database.transaction() as connection:
            rows = connection.execute(OF_RUNS, [list(run_ids), name]).fetchall()
        return {(row["run_id"], row["step_key"]): row["value"] for row in rows}

    def run_ids(self, before: datetime) -> Sequence[str]:
        """Runs all of whose outputs were stored before that moment."""
        with self._database.transaction() as connection:
            return [row["run_id"] for row in connection.execute(OLD_RUNS, [before]).fetchall()]

    def delete(self, run_ids: Sequence[str]) -> int:
        """Forget the outputs of these runs; returns how many there were."""
        with self._database.transaction() as connection:
            return connection.execute(DELETE, [list(run_ids)]).rowcount
