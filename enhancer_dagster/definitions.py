"""What Dagster loads: the definitions of `defs`, put together."""

import dagster as dg

from enhancer_dagster.defs.build import build_defs
from enhancer_dagster.logs import configure_logging
from enhancer_dagster.settings import load_settings


@dg.definitions
def defs() -> dg.Definitions:
    """Everything, with the resources that the environment's settings describe."""
    settings = load_settings()
    configure_logging(settings.log_level)
    return build_defs(settings)
