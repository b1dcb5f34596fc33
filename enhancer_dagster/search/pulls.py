"""From a service desk into a tenant's corpus: only what changed since the last pull, or everything.

A pull goes from the oldest change to the newest and saves page by page, so that one that breaks off goes on
where it stopped. Changed rows move to the end of such a list while it is read; therefore every page starts
anew at the last moment seen, rather than at a row number.

On premises a ticket that was never changed has no time of change, and stands at either end of a list in that
order: its creation says nothing of how far the list was read. So edited tickets and created ones are two
lists, each with its own order and watermark, as in `domain.steps.missed`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pandas as pd

from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.errors import ServiceDeskRefusedError, TicketNotFoundError
from enhancer_dagster.domain.ports import Page, ServiceDesk, TicketQuery
from enhancer_dagster.domain.redaction import without_credentials
from enhancer_dagster.domain.section import strip_sections
from enhancer_dagster.domain.tenants import TicketFilter
from enhancer_dagster.domain.text import html_to_text
from enhancer_dagster.domain.tickets import Article, Asset, Ticket
from enhancer_dagster.search.corpus import ARTICLE_COLUMNS, ASSET_COLUMNS, TICKET_COLUMNS, Corpus

OVERLAP = timedelta(minutes=10)
"""Read again before the watermark: a change may become visible later than its own time says."""

DETAIL_THREADS = 4
TICKETS, CREATED_TICKETS, ARTICLES = "tickets", "created_tickets", "articles"
"""Names of the watermarks; `TICKETS` is that of edited ones."""

_BEGINNING = datetime(1990, 1, 1, tzinfo=UTC)  # before any ticket; it leaves out those without a time

Tell = Callable[[str], None]
Row = TypeVar("Row")
Read = TypeVar("Read")


@dataclass(frozen=True)
class PullReport:
    """What a pull did.

    Attributes:
        seen: Rows that the service desk listed.
        changed: Rows that were stored because they say something new.
        new: Those of them that were not there before.
        removed: Rows that are no longer there.
        total: Rows that there are now.
    """

    seen: int
    changed: int
    new: int
    removed: int
    total: int


@dataclass(frozen=True)
class Pull:
    """One pull.

    Attributes:
        index: Which resolved tickets may be evidence.
        full: Read everything, and notice what was deleted.
        tell: Is told of progress.
    """

    desk: ServiceDesk
    corpus: Corpus
    index: TicketFilter
    deadline: Deadline
    full: bool = False
    tell: Tell = lambda _: None


def pull_resolved_tickets(pull: Pull) -> PullReport:
    """Bring the corpus's tickets up to date: resolved ones in, re-opened, deleted and left-out ones out."""
    before = pull.corpus.ticket_ids()
    found = _FoundTickets(pull)
    for page in _ticket_pages(pull, _EDITED):
        found.store(page)
        pull.corpus.set_watermark(TICKETS, _newest(page, _EDITED))
    for page in _ticket_pages(pull, _CREATED):
        # What was edited, or is being edited just now, belongs to the other list.
        found.store([ticket for ticket in page if ticket.updated_at == ticket.created_at])
        found.seen |= {ticket.ticket_id for ticket in page}
        pull.corpus.set_watermark(CREATED_TICKETS, _newest(page, _CREATED))
    if pull.full:
        found.removed += pull.corpus.delete_tickets(sorted(before - found.seen))
    after = pull.corpus.ticket_ids()
    return PullReport(len(found.seen), found.changed, len(after - before), found.removed, len(after))


def pull_articles(pull: Pull) -> PullReport:
    """Bring the corpus's articles up to date."""
    before, seen, changed = pull.corpus.article_ids(), set[str](), 0
    since = None if pull.full else _since(pull.corpus.watermark(ARTICLES))
    newest = since
    for page in _pages(lambda start: pull.desk.articles(start, since, pull.deadline)):
        details = _details(page, lambda article: _article(pull, article))
        changed += pull.corpus.upsert_articles(
            pd.DataFrame(map(_article_row, details), columns=ARTICLE_COLUMNS)
        )
        seen |= {article.article_id for article in page}
        newest = max((a.updated_at for a in page if a.updated_at), default=newest)
        pull.tell(f"{len(seen)} articles seen, {changed} new or changed")
    removed = pull.corpus.delete_articles(sorted(before - seen)) if pull.full else 0
    if newest:
        pull.corpus.set_watermark(ARTICLES, newest)
    after = pull.corpus.article_ids()
    return PullReport(len(seen), changed, len(after - before), removed, len(after))


def pull_assets(pull: Pull) -> PullReport:
    """Read the whole inventory: its lists say nothing reliable of what changed, and it is small."""
    before = _by_id(pull.corpus.assets())
    assets = [
        asset for page in _pages(lambda start: pull.desk.assets(start, pull.deadline)) for asset in page
    ]
    total = pull.corpus.replace_assets(_frame(map(_asset_row, assets), ASSET_COLUMNS))
    after = _by_id(pull.corpus.assets())
    pull.tell(f"{total} assets")
    new, removed = after.keys() - before.keys(), before.keys() - after.keys()
    changed = sum(before.get(asset_id) != row for asset_id, row in after.items())
    seen = {asset.asset_id for asset in assets}  # one may be on several lists
    return PullReport(len(seen), changed, len(new), len(removed), total)


@dataclass
class _FoundTickets:
    """What a pull has come across so far; `seen` are ids."""

    pull: Pull
    seen: set[str] = field(default_factory=set)
    changed: int = 0
    removed: int = 0

    def store(self, page: Sequence[Ticket]) -> None:
        """Take the evidence of a page into the corpus, and what is none out of it."""
        pull, listed = self.pull, [ticket for ticket in page if ticket.ticket_id not in self.seen]
        resolved = [ticket for ticket in listed if _is_evidence(ticket, pull.index)]
        details = _details(resolved, lambda ticket: _ticket(pull, ticket))
        kept = [ticket for ticket in details if ticket is not None and _is_evidence(ticket, pull.index)]
        self.changed += pull.corpus.upsert_tickets(_frame(map(_ticket_row, kept), TICKET_COLUMNS))
        linked = _details(kept, lambda ticket: _links(pull, ticket))
        pull.corpus.replace_links({t.ticket_id: ids for t, ids in zip(kept, linked, strict=True)})
        gone = {ticket.ticket_id for ticket in listed} - {ticket.ticket_id for ticket in kept}
        self.removed += pull.corpus.delete_tickets(sorted(gone))
        self.seen |= {ticket.ticket_id for ticket in page}
        pull.tell(f"{len(self.seen)} tickets seen, {self.changed} new or changed, {self.removed} removed")


@dataclass(frozen=True)
class _TicketList:
    """One of the two lists: how it is asked for, its watermark, and the time that it is ordered by."""

    watermark: str
    query: Callable[[datetime, int], TicketQuery]
    moment: Callable[[Ticket], datetime | None]


_EDITED = _TicketList(
    TICKETS,
    lambda since, start: TicketQuery(edited_since=since, start_index=start),
    lambda ticket: ticket.updated_at,
)
_CREATED = _TicketList(
    CREATED_TICKETS,
    lambda since, start: TicketQuery(created_since=since, start_index=start),
    lambda ticket: ticket.created_at,
)


def _ticket_pages(pull: Pull, of: _TicketList) -> Iterator[Sequence[Ticket]]:
    since = (None if pull.full else _since(pull.corpus.watermark(of.watermark))) or _BEGINNING
    start = 1
    while True:
        page = pull.desk.tickets(of.query(since, start), pull.deadline)
        if page.rows:
            yield page.rows
        if page.next_index is None:
            return
        last = _newest(page.rows, of)
        # A page whose changes are all of one moment gives no later one to start at.
        if last is not None and last != since:
            since, start = last, 1
        else:
            start = page.next_index


def _pages(read: Callable[[int], Page[Row]]) -> Iterator[Sequence[Row]]:
    start: int | None = 1
    while start is not None:
        page = read(start)
        if page.rows:
            yield page.rows
        start = page.next_index


def _since(watermark: datetime | None) -> datetime | None:
    return watermark - OVERLAP if watermark else None


def _newest(rows: Sequence[Ticket], of: _TicketList) -> datetime | None:
    return max((moment for row in rows if (moment := of.moment(row))), default=None)


def _is_evidence(ticket: Ticket, index: TicketFilter) -> bool:
    return not ticket.is_open and not ticket.is_trashed and index.admits(ticket)


def _details(rows: Sequence[Row], read: Callable[[Row], Read]) -> list[Read]:
    with ThreadPoolExecutor(DETAIL_THREADS) as threads:
        return list(threads.map(read, rows))


def _ticket(pull: Pull, ticket: Ticket) -> Ticket | None:
    try:
        return pull.desk.ticket(ticket.ticket_id, pull.deadline)
    except TicketNotFoundError:
        return None


def _links(pull: Pull, ticket: Ticket) -> Sequence[str]:
    try:
        return pull.desk.linked_tickets(ticket.ticket_id, pull.deadline) if ticket.has_links else ()
    except ServiceDeskRefusedError as error:
        # Links serve the measurement of quality alone: tickets come without them, too.
        pull.tell(f"links of ticket {ticket.ticket_id} cannot be read: {error}")
        return ()


def _article(pull: Pull, article: Article) -> Article:
    return article if article.content is not None else pull.desk.article(article.article_id, pull.deadline)


def _frame(rows: Iterable[dict[str, object]], columns: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=pd.Index(columns))


def _by_id(frame: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """Rows by their first column, in a form that can be compared."""
    return {str(row[0]): tuple(map(str, row)) for row in frame.itertuples(index=False, name=None)}


def _plain(html: str | None) -> str:
    """Text as it may be shown on other tickets: of a credential only that there was one."""
    return without_credentials(html_to_text(strip_sections(html or ""), with_addresses=True))


def _ticket_row(ticket: Ticket) -> dict[str, object]:
    return {
        "ticket_id": ticket.ticket_id,
        "subject": without_credentials(ticket.subject),
        "body": _plain(ticket.description),
        "resolution": _plain(ticket.resolution),
        "status": ticket.status,
        "group": ticket.group,
        "site": ticket.site,
        "template": ticket.template,
        "created_at": ticket.created_at,
        "updated_at": ticket.updated_at,
        "resolved_at": ticket.updated_at,
    }


def _article_row(article: Article) -> dict[str, object]:
    return {
        "article_id": article.article_id,
        "title": without_credentials(article.title),
        "content": _plain(article.content),
        "topic": article.topic,
        "updated_at": article.updated_at,
    }


def _asset_row(asset: Asset) -> dict[str, object]:
    return {
        "asset_id": asset.asset_id,
        "name": without_credentials(asset.name),
        "hostnames": list(asset.hostnames),
        "addresses": list(asset.addresses),
        "role": without_credentials(asset.role),
        "state": asset.state,
        "site": asset.site,
        "last_seen": asset.last_seen,
    }
