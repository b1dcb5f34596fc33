"""The LLM behind any OpenAI-compatible gateway.

`gateway` tries models in order within one deadline; `exchange` makes one call and limits it as a whole;
`client` is the openai package's side of that call and the only module that knows it; `answers` reads what
came back; `pricing` says what it cost.
"""

from enhancer_dagster.adapters.llm.gateway import OpenAiGateway, preload

__all__ = ["OpenAiGateway", "preload"]
