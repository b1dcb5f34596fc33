"""Step two: a model writes, code checks; whatever goes wrong, the ticket gets its section without AI."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from loguru import logger

from enhancer_dagster.domain.citations import CheckedAnswer, check_answer
from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.errors import (
    AnswerUnusableError,
    DeadlineExceededError,
    LanguageModelRefusedError,
    LanguageModelUnavailableError,
)
from enhancer_dagster.domain.fallback import format_without_ai
from enhancer_dagster.domain.links import AllowedLinks
from enhancer_dagster.domain.outcomes import Usage
from enhancer_dagster.domain.ports import Completion, LanguageModel
from enhancer_dagster.domain.prompt import build_prompt
from enhancer_dagster.domain.redaction import PersonalDataMask, without_credentials, without_personal_data
from enhancer_dagster.domain.steps.values import Enhancement, GatheredContext
from enhancer_dagster.domain.tenants import PersonalData


@dataclass(frozen=True)
class ModelChoice:
    """Which models may write for a tenant, best first; none of them, with the reason why."""

    models: Sequence[str]
    why_none: str = ""


def synthesize(
    gathered: GatheredContext,
    choice: ModelChoice,
    language_model: LanguageModel | None,
    now: datetime,
    deadline: Deadline,
    links: AllowedLinks,
    personal_data: PersonalData,
) -> Enhancement:
    """Recommendations for a ticket, or the context as it is where no model's answer can be used.

    Args:
        gathered: The ticket and what was found.
        choice: The tenant's models.
        language_model: The gateway; None where there is none.
        now: Time of generation, for the footer.
        deadline: For all models together.
        links: Which links stay in an answer.
        personal_data: What the model, and the section, get of it.
    """
    if language_model is None or not choice.models:
        return _without_ai(gathered, now, choice.why_none)
    personal = PersonalDataMask()
    sent = gathered.with_texts(personal.masked) if personal_data is PersonalData.RESTORE else gathered
    prompt = build_prompt(sent.subject, sent.text, sent.state, gathered.run.correlation_id)
    usage = None
    try:
        completion = language_model.complete(prompt, choice.models, gathered.run.correlation_id, deadline)
        usage = completion.usage
        answer = without_credentials(completion.text)
        if personal_data is PersonalData.MASK:
            answer = without_personal_data(answer)
        checked = check_answer(answer, completion.finish_reason, sent.state.source_texts, links)
    except (
        LanguageModelUnavailableError,
        LanguageModelRefusedError,
        DeadlineExceededError,
        AnswerUnusableError,
    ) as error:
        logger.warning("the section is written without AI: {}", error)
        return _without_ai(gathered, now, str(error), usage)
    return _with_ai(checked, personal.restored(checked.text), completion, now)


def _without_ai(
    gathered: GatheredContext, now: datetime, reason: str, usage: Usage | None = None
) -> Enhancement:
    return Enhancement(
        content=format_without_ai(gathered.state),
        generated_at=now,
        generated_without_ai=True,
        without_ai_reason=reason,
        usage=usage or Usage(),
        sources=tuple(sorted(gathered.state.source_ids)),
    )


def _with_ai(checked: CheckedAnswer, content: str, completion: Completion, now: datetime) -> Enhancement:
    logger.debug("tokens: {}", completion.usage)
    return Enhancement(
        content=content,
        generated_at=now,
        generated_without_ai=False,
        usage=completion.usage,
        sources=tuple(sorted(checked.cited)),
        citations_kept=checked.citations_kept,
        citations_removed=checked.citations_removed,
        sentences_removed=checked.sentences_removed,
        sentences_marked=checked.sentences_marked,
        code_removed=checked.code_removed,
    )
