"""What Dagster loads: the definitions of `defs`, put together."""

import dagster as dg

from enhancer_dagster.defs.build import build_defs


@dg.definitions
def defs() -> dg.Definitions:
    """Everything, with the resources that the environment's settings describe."""
    return build_defs()
