"""What an answer cost: the gateway's own figure where it gives one, else from the price table."""

from collections.abc import Mapping

from enhancer_dagster.domain.outcomes import Usage

TOKENS_PRICED = 1_000_000
Prices = Mapping[str, tuple[float, float]]
"""By model: US dollars for a million prompt tokens, and for a million completion tokens."""


def priced(usage: Usage, asked_model: str, prices: Prices) -> Usage:
    """`usage` with its cost, where one can be had.

    Args:
        usage: As the gateway gave it.
        asked_model: The name that was asked for; gateways may answer under a dated one.
        prices: The table.
    """
    price = prices.get(usage.model or "") or prices.get(asked_model)
    if usage.cost_usd is not None or price is None or usage.prompt_tokens is None:
        return usage
    cost = usage.prompt_tokens * price[0] + (usage.completion_tokens or 0) * price[1]
    return usage.model_copy(update={"cost_usd": round(cost / TOKENS_PRICED, 6)})
