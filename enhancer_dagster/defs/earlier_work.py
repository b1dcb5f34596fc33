"""What the IO manager stored for earlier runs of a job, for an attempt that goes on where one vanished."""

from collections.abc import Sequence
from typing import Any, TypeVar

from loguru import logger
from pydantic import BaseModel, ValidationError

from enhancer_dagster.adapters.op_outputs import OpOutputs
from enhancer_dagster.domain.steps.values import Enhancement, GatheredContext

Model = TypeVar("Model", bound=BaseModel)

CONTEXT_OP, ENHANCEMENT_OP = "gather_context", "synthesize_enhancement"
OUTPUT = "result"
"""Dagster's name of an op's only output."""


class StoredWork:
    """`domain.ports.EarlierWork` on the outputs of the ops.

    What an older release stored in another form counts as not stored.
    """

    def __init__(self, outputs: OpOutputs) -> None:
        self._outputs = outputs

    def context(self, run_ids: Sequence[str], content_hash: str | None) -> GatheredContext | None:
        """What one of these runs, newest first, found for this text, or for any where it is None."""
        if not run_ids:
            return None
        found = self._outputs.of_runs(run_ids, OUTPUT)
        usable = [
            gathered.model_copy(update={"taken_from": run_id})
            for run_id in run_ids
            if (gathered := _read(GatheredContext, found.get((run_id, CONTEXT_OP))))
            and content_hash in (None, gathered.content_hash)
        ]
        finished = (one for one in usable if (one.taken_from, ENHANCEMENT_OP) in found)
        return next(finished, usable[0] if usable else None)

    def enhancement(self, run_id: str) -> Enhancement | None:
        """What this run wrote, None where it did not come to that."""
        return _read(Enhancement, self._outputs.of_runs([run_id], OUTPUT).get((run_id, ENHANCEMENT_OP)))

    def keep(self, run_id: str, gathered: GatheredContext, enhancement: Enhancement) -> None:
        """Store what a re-execution inherited as its own."""
        for step_key, value in ((CONTEXT_OP, gathered), (ENHANCEMENT_OP, enhancement)):
            stored = value.model_dump(mode="json")
            self._outputs.save(stored, run_id=run_id, step_key=step_key, name=OUTPUT)


def _read(model: type[Model], stored: Any) -> Model | None:
    if stored is None:
        return None
    try:
        return model.model_validate(stored)
    except ValidationError as error:
        # Its words would quote the ticket's text.
        logger.warning("what an earlier run stored cannot be used: {} fields differ", error.error_count())
        return None
