"""How ServiceDesk Plus shows and stores single values: times and HTML."""

from datetime import UTC, datetime
from functools import lru_cache

import nh3

from enhancer_dagster.domain.text import html_to_text, shorten, storable

_TAGS = {
    *("a", "b", "blockquote", "br", "code", "dd", "div", "dl", "dt", "em", "font", "h1", "h2", "h3", "h4"),
    *("h5", "h6", "hr", "i", "img", "li", "ol", "p", "pre", "s", "span", "strong", "sub", "sup", "table"),
    *("tbody", "td", "tfoot", "th", "thead", "tr", "u", "ul"),
}
_ATTRIBUTES = {"a": {"href", "title"}, "img": {"src", "alt"}, "td": {"colspan", "rowspan"}, "th": {"colspan"}}
_EXCERPT = 250


def shown_time(milliseconds: int | None) -> dict[str, str] | None:
    """A moment as the API shows it; the display is in UTC, in the default format."""
    if milliseconds is None:
        return None
    return {"display_value": _display(milliseconds // 60_000), "value": str(milliseconds)}


@lru_cache(maxsize=4096)
def _display(minutes: int) -> str:
    moment = datetime.fromtimestamp(minutes * 60, UTC)
    return f"{moment:%b} {moment.day}, {moment:%Y %I:%M %p}"


def stored_html(text: str) -> str:
    """`text` as it is stored: no scripts, styles, comments, event handlers, classes, ids or data attributes.

    What exactly SDP strips is not documented; this is the strict side, so that no client comes to rely on
    markers that a real one may remove.
    """
    return nh3.clean(storable(text), tags=_TAGS, attributes=_ATTRIBUTES, link_rel=None, strip_comments=True)


def excerpt(html: str | None) -> str | None:
    """The first words of a description, as on-premises lists show them."""
    return shorten(html_to_text(html), _EXCERPT) if html else None
