"""Tokens whose form their vendors publish, by the detectors of detect-secrets.

Only those of its detectors are used that read hostile text fast, given pieces of a bounded size. Left out are
those for JWT, npm, OpenAI and basic auth, which do not (`tokens` and `urls` do their work), those for rare
products, and those for source code (keywords, entropy), which take every second log line for a secret.
"""

from collections.abc import Iterator
from functools import cache
from importlib import import_module
from re import Pattern

from enhancer_dagster.domain.redaction.found import Found, Kind

_DETECTORS = {
    "aws.AWSKeyDetector": Kind.API_KEY,
    "azure_storage_key.AzureStorageKeyDetector": Kind.API_KEY,
    "discord.DiscordBotTokenDetector": Kind.TOKEN,
    "github_token.GitHubTokenDetector": Kind.TOKEN,
    "gitlab_token.GitLabTokenDetector": Kind.TOKEN,
    "mailchimp.MailchimpDetector": Kind.API_KEY,
    "pypi_token.PypiTokenDetector": Kind.TOKEN,
    "sendgrid.SendGridDetector": Kind.API_KEY,
    "slack.SlackDetector": Kind.TOKEN,
    "square_oauth.SquareOAuthDetector": Kind.TOKEN,
    "stripe.StripeDetector": Kind.API_KEY,
    "telegram_token.TelegramBotTokenDetector": Kind.TOKEN,
    "twilio.TwilioKeyDetector": Kind.API_KEY,
}
_PIECE, _OVERLAP = 1_000, 400
"""Characters that a detector reads at once; the longest token it knows is shorter than the overlap."""


def find_known_tokens(text: str) -> Iterator[Found]:
    """Tokens that a detector knows; the same one may come twice."""
    for start in range(0, max(1, len(text) - _OVERLAP), _PIECE - _OVERLAP):
        piece = text[start : start + _PIECE]
        for pattern, kind in _patterns():
            # `analyze_string` gives what the first group matched, of "ghp_…" no more than "ghp".
            for found in pattern.finditer(piece):
                yield Found(start + found.start(), start + found.end(), kind)


@cache
def _patterns() -> tuple[tuple[Pattern[str], Kind], ...]:
    """Loaded with the first text: the library brings an HTTP client, 0.2 s where nothing else has."""
    patterns: list[tuple[Pattern[str], Kind]] = []
    for name, kind in _DETECTORS.items():
        module, _, detector = name.partition(".")
        plugin = getattr(import_module(f"detect_secrets.plugins.{module}"), detector)()
        patterns += [(pattern, kind) for pattern in plugin.denylist]
    return tuple(patterns)
