"""The sample service desk: complete, consistent, harmless, and not solved by counting words."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from importlib.resources import files
from ipaddress import ip_address
from typing import Any

import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from enhancer_dagster.domain.text import html_to_text

Row = dict[str, Any]


def load(name: str) -> list[Row]:
    sample = files("enhancer_dagster") / "simulator" / "sample" / f"{name}.jsonl"
    return [json.loads(line) for line in sample.read_text(encoding="utf-8").splitlines()]


TICKETS, ARTICLES, ASSETS, NEW = map(load, ("resolved_tickets", "articles", "assets", "new_tickets"))

FIELDS = {
    "resolved_tickets": (
        TICKETS,
        "id subject description resolution priority group site status created_at resolved_at",
    ),
    "articles": (ARTICLES, "id title content topic"),
    "assets": (ASSETS, "id name hostnames addresses role state site last_seen product_type"),
    "new_tickets": (
        NEW,
        "id subject description priority group site expected_ticket expected_article",
    ),
}


def words_of(ticket: Row) -> str:
    return f"{ticket['subject']}\n{html_to_text(ticket['description'])}"


def whole_text(ticket: Row) -> str:
    return f"{words_of(ticket)}\n{html_to_text(ticket.get('resolution', ''))}"


def moment(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    assert time.utcoffset() == timedelta(0)
    return time


def addresses_in(text: str) -> Iterator[str]:
    for candidate in re.findall(r"(?<![0-9A-Za-z])[0-9A-Fa-f]+(?:[.:]+[0-9A-Fa-f]+)+(?:::)?", text):
        with suppress(ValueError):
            yield str(ip_address(candidate))


def mentions_inventory(text: str) -> bool:
    known = {name.lower() for asset in ASSETS for name in asset["hostnames"]}
    known_addresses = {str(ip_address(address)) for asset in ASSETS for address in asset["addresses"]}
    tokens = set(re.findall(r"[a-z0-9][a-z0-9.-]*[a-z0-9]", text.lower()))
    return not known.isdisjoint(tokens) or not known_addresses.isdisjoint(addresses_in(text))


def test_enough_of_everything() -> None:
    assert len(TICKETS) >= 160
    assert len(ARTICLES) >= 40
    assert len(ASSETS) >= 80
    assert len(NEW) == 30


@pytest.mark.parametrize("name", FIELDS)
def test_every_row_has_its_fields_and_a_text_in_each(name: str) -> None:
    rows, fields = FIELDS[name]
    for row in rows:
        assert set(row) == set(fields.split())
        empty = {field for field, value in row.items() if value in ("", [])}
        missing = {field for field, value in row.items() if value is None}
        assert not empty, row["id"]
        assert missing <= {"expected_article"}, row["id"]


@pytest.mark.parametrize("rows", [TICKETS + NEW, ARTICLES, ASSETS], ids=["tickets", "articles", "assets"])
def test_ids_are_unique_number_strings(rows: list[Row]) -> None:
    ids = [row["id"] for row in rows]
    assert len(set(ids)) == len(ids)
    assert all(isinstance(one, str) and one.isdecimal() for one in ids)


def test_tickets_carry_the_service_desks_words() -> None:
    assert {ticket["priority"] for ticket in TICKETS} == {"Urgent", "High", "Normal", "Low"}
    assert {ticket["priority"] for ticket in NEW} <= {"Urgent", "High", "Normal", "Low"}
    assert {ticket["status"] for ticket in TICKETS} == {"Closed", "Resolved"}
    assert {row["site"] for row in NEW + ASSETS} <= {ticket["site"] for ticket in TICKETS}
    assert {ticket["group"] for ticket in NEW} <= {ticket["group"] for ticket in TICKETS}


def test_times_are_utc_and_in_order() -> None:
    for ticket in TICKETS:
        assert moment(ticket["created_at"]) < moment(ticket["resolved_at"]), ticket["id"]
    by_id = sorted(TICKETS, key=lambda ticket: int(ticket["id"]))
    assert by_id == sorted(TICKETS, key=lambda ticket: moment(ticket["created_at"]))
    assert all(moment(asset["last_seen"]) for asset in ASSETS)


def test_new_tickets_come_after_the_resolved_ones_and_point_at_one_each() -> None:
    resolved = {ticket["id"] for ticket in TICKETS}
    expected = [ticket["expected_ticket"] for ticket in NEW]
    assert set(expected) <= resolved
    assert len(set(expected)) == len(expected)
    assert min(int(ticket["id"]) for ticket in NEW) > max(map(int, resolved))


def test_most_new_tickets_have_an_article() -> None:
    expected = [ticket["expected_article"] for ticket in NEW if ticket["expected_article"] is not None]
    assert set(expected) <= {article["id"] for article in ARTICLES}
    assert len(expected) >= 22


def test_articles_are_html_of_a_page_with_steps() -> None:
    for article in ARTICLES:
        assert 120 <= len(html_to_text(article["content"]).split()) <= 400, article["title"]
        assert "<li>" in article["content"], article["title"]


def test_assets_have_names_and_addresses_of_their_own() -> None:
    names = [name.lower() for asset in ASSETS for name in asset["hostnames"]]
    addresses = [ip_address(address) for asset in ASSETS for address in asset["addresses"]]
    assert len(set(names)) == len(names)
    assert len(set(addresses)) == len(addresses)
    assert sum(address.version == 6 for address in addresses) >= 10
    assert len({asset["role"] for asset in ASSETS}) >= 15


def test_no_address_belongs_to_anyone() -> None:
    texts = [whole_text(ticket) for ticket in TICKETS + NEW]
    texts += [html_to_text(article["content"]) for article in ARTICLES]
    texts += [" ".join(asset["addresses"]) for asset in ASSETS]
    found = {address for text in texts for address in addresses_in(text)}
    assert len(found) > 100
    assert {address for address in found if not ip_address(address).is_private} == set()


def test_texts_mention_the_inventory() -> None:
    assert sum(mentions_inventory(whole_text(ticket)) for ticket in TICKETS) >= 80
    assert sum(mentions_inventory(words_of(ticket)) for ticket in NEW) >= 10


def test_some_texts_are_html_and_some_are_not() -> None:
    html = sum("</" in ticket["description"] for ticket in TICKETS)
    assert len(TICKETS) / 5 <= html <= len(TICKETS) * 4 / 5
    assert 0 < sum("</" in ticket["description"] for ticket in NEW) < len(NEW)


def runs_of_words(text: str, length: int) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[start : start + length]) for start in range(len(words) - length + 1)}


def test_new_tickets_are_told_in_other_words() -> None:
    resolved = {ticket["id"]: words_of(ticket) for ticket in TICKETS}
    for ticket in NEW:
        shared = runs_of_words(words_of(ticket), 6) & runs_of_words(resolved[ticket["expected_ticket"]], 6)
        assert not shared, ticket["id"]


def test_counting_words_does_not_find_the_related_ticket() -> None:
    ids = [ticket["id"] for ticket in TICKETS]
    vectorizer = TfidfVectorizer(max_features=5000, stop_words="english")
    documents = vectorizer.fit_transform(words_of(ticket) for ticket in TICKETS)
    scores = (vectorizer.transform(words_of(ticket) for ticket in NEW) @ documents.T).toarray()
    hits = 0
    for ticket, row in zip(NEW, scores, strict=True):
        hits += int((row > row[ids.index(ticket["expected_ticket"])]).sum()) < 3
    assert hits <= 20
