"""The LLM behind any OpenAI-compatible gateway.

`gateway` tries models in order within one deadline; `exchange` is one call (the only module that knows the
openai package); `pricing` says what an answer cost.
"""

from enhancer_dagster.adapters.llm.gateway import OpenAiGateway, preload

__all__ = ["OpenAiGateway", "preload"]
