"""Finding citations in whatever form a model wrote them, and leaving one form."""

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass

from enhancer_dagster.domain.citations.sentences import CITATION
from enhancer_dagster.domain.markdown import visible_text

_DASH = "[-\u2010-\u2015\u2212]"
# Bounded, so that a line of nothing but brackets is read in time linear in its length.
_DECORATION = r"(?:\\?[*_`~\"'\u201c\u201d]){0,4}"
_OPENING = r"\\?[\[({\u3010<]{1,3}\^?"
_CLOSING = r"[\])}\u3011>]{1,3}"
_TARGET = r"(?:\\?\([^()\s]{0,500}\))?"
_WORDS = (
    r"(?:(?:see|sources?|refs?|references?|ids?|cf\.?|per|from|tickets?|articles?|hosts?)\s*[:=#]?\s*){0,3}"
)
_SEPARATOR = r"\s*(?:[,;/&+|\u2013-]|\b(?:and|und|or)\b)?\s*"

_ANY_ID = rf"(?:TKT|KB|IP|HOST)\s?{_DASH}\s?[^\s\[\](){{}}\u3010\u3011<>,;*`]{{1,80}}+"
_MENTION = re.compile(
    rf"(?:(?i:TKT(?:{_DASH}|[ #])|(?<![A-Za-z])(?:KB|IP|HOST){_DASH})(?=[\w.:-]{{0,80}}\d)"
    rf"|(?<![A-Za-z])HOST{_DASH})[\w.:-]*\w",
    re.ASCII,
)
_CITATION_LIKE = re.compile(
    rf"\\?\[\^?(?:(?:sources?|refs?|docs?|notes?|citations?|articles?|tickets?)\.?\s*#?\s*)?"
    rf"[^\W\d_]{{0,8}}[-#.]?\d{{1,9}}\]{_TARGET}|\u3010[^\u3011]{{1,60}}\u3011{_TARGET}",
    re.IGNORECASE,
)
_CODE = r"`+[^`]+`+"
# Cyrillic and Greek letters that look like those of the prefixes.
_LOOK_ALIKES = dict(
    zip(
        "\u0422\u041a\u0412\u0406\u0420\u041d\u041e\u0405\u03a4\u039a\u0392\u0399\u03a1\u0397\u039f",
        "TKBIPHOSTKBIPHO",
        strict=True,
    )
)
_TO_LATIN = str.maketrans(_LOOK_ALIKES | {odd.lower(): plain.lower() for odd, plain in _LOOK_ALIKES.items()})


@dataclass(frozen=True, slots=True)
class Normalised:
    """A line whose citations are all valid and in one form, and how many others were taken out."""

    text: str
    removed: int


class SourceIds:
    """The ids that may be cited.

    Args:
        source_ids: As `WorkflowState.source_ids`.
    """

    def __init__(self, source_ids: Collection[str]) -> None:
        self._by_key = {_key(source_id): source_id for source_id in source_ids}
        longest_first = sorted(source_ids, key=len, reverse=True)
        known = "|".join(re.escape(source_id).replace(r"\-", _DASH) for source_id in longest_first)
        known = rf"(?:{known or '(?!)'})(?!\w|[.:-]+\w)"
        # Atomic: a list that no bracket closes is given up at once.
        one = rf"(?>{_DECORATION}(?:{known}|{_ANY_ID}){_DECORATION})"
        several = rf"(?>{_WORDS}{one}(?:{_SEPARATOR}{_WORDS}{one}){{0,30}})"
        self._id = re.compile(rf"{known}|{_ANY_ID}", re.IGNORECASE)
        self._citation = re.compile(
            rf"{_DECORATION}{_OPENING}\s*{several}\s*{_CLOSING}{_TARGET}{_DECORATION}|`+{known}`+"
            rf"|(?P<code>{_CODE})|{_DECORATION}\[?(?<![A-Za-z0-9]){known}\]?{_DECORATION}",
            re.IGNORECASE,
        )

    def normalise(self, line: str) -> Normalised:
        """`line` with every valid citation as `[ID]`, and without the others.

        A known id counts as a citation wherever it stands; an unknown one outside brackets is left to
        `invented`.
        """
        removed = 0

        def replaced(found: re.Match[str]) -> str:
            nonlocal removed
            if found.group("code"):
                return found.group()
            ids = [self._by_key.get(_key(cited)) for cited in self._id.findall(found.group())]
            removed += ids.count(None)
            return " ".join(f"[{known}]" for known in ids if known)

        def kept(found: re.Match[str]) -> str:
            nonlocal removed
            if self._is_citation(found.group()):
                return found.group()
            removed += 1
            return ""

        text = _CITATION_LIKE.sub(kept, self._citation.sub(replaced, line))
        return Normalised(_tidied(text), removed)

    def cited(self, sentence: str) -> list[str]:
        """The ids that a normalised sentence cites, in order."""
        return [
            found[1:-1] for found in re.findall(CITATION, sentence) if found[1:-1] in self._by_key.values()
        ]

    def invented(self, sentence: str) -> list[str]:
        """The ids in a normalised sentence that no source has, as a reader sees them."""
        shown = unicodedata.normalize("NFKC", visible_text(sentence)).translate(_TO_LATIN)
        return [mention for mention in _MENTION.findall(shown) if _key(mention) not in self._by_key]

    def _is_citation(self, bracketed: str) -> bool:
        return self._by_key.get(_key(bracketed[1:-1])) == bracketed[1:-1]


def _key(source_id: str) -> str:
    return re.sub(rf"\s?(?:{_DASH}|#|\s)\s?", "-", source_id).casefold().rstrip(".:")


def _tidied(text: str) -> str:
    text = re.sub(r"\(\s*[,;]*\s*\)|\[\s*\]", "", text).replace("][", "] [")
    return re.sub(r"\s+(?=[.,;:!?](?:\s|$))", "", re.sub(r"\s{2,}", " ", text)).strip()
