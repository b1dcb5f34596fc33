"""Op outputs as JSON in PostgreSQL, so that a re-execution repeats neither the LLM's bill nor the search."""

from typing import Any

import dagster as dg
from pydantic import TypeAdapter

from enhancer_dagster.adapters.op_outputs import OpOutputs


class PostgresIOManager(dg.IOManager):
    """Keeps what ops return under (run, step, output, mapping key).

    An input is read from the run that made it, which after re-executions may be a grandparent of this one.
    """

    def __init__(self, outputs: OpOutputs) -> None:
        self._outputs = outputs

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Store `obj` by way of its declared type's JSON form."""
        value = _adapter(context).dump_python(obj, mode="json")
        self._outputs.save(value, **_key(context))

    def load_input(self, context: dg.InputContext) -> object:
        """What the upstream step stored."""
        upstream = context.upstream_output
        if upstream is None:
            raise dg.DagsterInvariantViolationError("the input has no upstream output")
        return _adapter(context).validate_python(self._outputs.load(**_key(upstream)))


def _adapter(context: dg.InputContext | dg.OutputContext) -> TypeAdapter[Any]:
    return TypeAdapter(context.dagster_type.typing_type)


def _key(context: dg.OutputContext) -> dict[str, str]:
    return {
        "run_id": context.run_id,
        "step_key": context.step_key,
        "name": context.name,
        "mapping_key": context.mapping_key or "",
    }
