"""Runs that a command makes in its own process."""

import dagster as dg


def why_it_failed(result: dg.ExecuteInProcessResult) -> str:
    """The words of the first step that failed."""
    for event in result.all_events:
        if event.is_step_failure:
            failure = event.step_failure_data.user_failure_data
            return (failure and failure.description) or event.message or "the run failed"
    return "the run failed"
