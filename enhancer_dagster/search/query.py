"""What ticket runs ask: a tenant's published snapshot, opened on first use and followed when it changes."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from threading import Lock

from loguru import logger

from enhancer_dagster.domain.context import IpInfo, KbArticle, SimilarTicket
from enhancer_dagster.domain.errors import IndexUnavailableError
from enhancer_dagster.domain.tenants import TicketFilter
from enhancer_dagster.domain.text import storable
from enhancer_dagster.domain.tickets import Ticket
from enhancer_dagster.search.corpus_index import Admits, Hit
from enhancer_dagster.search.documents import Query
from enhancer_dagster.search.follow import FollowedSnapshot
from enhancer_dagster.search.location import TenantLocation
from enhancer_dagster.search.manifest import Manifest
from enhancer_dagster.search.records import Record
from enhancer_dagster.search.settings import CorpusWeights, SearchSettings
from enhancer_dagster.search.snapshot import ARTICLES, TICKETS, Snapshot

EVERYTHING = TicketFilter()


@dataclass(frozen=True)
class Explanation:
    """What a technician would be offered, and why.

    Attributes:
        manifest: Of the snapshot that answered.
        weights: That the hits were scored with.
        hits: Best first, with the words in common; those below `weights.floor` would not be offered.
        seconds: What the search took.
    """

    manifest: Manifest
    weights: CorpusWeights
    hits: tuple[Hit, ...]
    seconds: float


class SnapshotSearch:
    """`domain.ports.ContextSearch` over published snapshots.

    Threads may share it. Loaded before a fork (`preload`), it works after it.

    Args:
        location: Path or fsspec address under which every tenant has a folder.
        cache_dir: Where snapshots of a remote location are kept; not needed for a path.
        settings: Weights, floors and limits.
    """

    def __init__(
        self, location: str | Path, cache_dir: Path | None = None, settings: SearchSettings | None = None
    ) -> None:
        self._location = location
        self._cache_dir = cache_dir
        self._settings = settings or SearchSettings()
        self._tenants: dict[str, FollowedSnapshot] = {}
        self._lock = Lock()

    def similar_tickets(
        self,
        tenant_id: str,
        subject: str,
        text: str,
        *,
        exclude_ticket_id: str,
        limit: int,
        only: TicketFilter = EVERYTHING,
    ) -> list[SimilarTicket]:
        """Resolved tickets that resemble this one, best first.

        Args:
            tenant_id: Whose tickets.
            subject: Of the new ticket.
            text: Its description as plain text, without our section.
            exclude_ticket_id: The ticket itself.
            limit: Most hits; there may be fewer, or none, above the floor.
            only: Leave out tickets that it does not admit.

        Raises:
            IndexUnavailableError: Nothing is published, or nothing readable.
        """

        def admits(record: Record) -> bool:
            return record["id"] != exclude_ticket_id and (only is EVERYTHING or only.admits(_ticket(record)))

        hits = self._hits(tenant_id, TICKETS, subject, text, limit, admits)
        return [_similar_ticket(hit) for hit in hits]

    def kb_articles(self, tenant_id: str, subject: str, text: str, *, limit: int) -> list[KbArticle]:
        """Articles that bear on the text, best first; arguments and errors as in `similar_tickets`."""
        hits = self._hits(tenant_id, ARTICLES, subject, text, limit, _everything)
        return [_article(hit) for hit in hits]

    def inventory(self, tenant_id: str, text: str) -> list[IpInfo]:
        """Every IPv4 and IPv6 address and every known host name in `text`, with what is known of it.

        An address that the inventory does not have comes with `ip` alone.

        Raises:
            IndexUnavailableError: Nothing is published, or nothing readable.
        """
        return self._snapshot(tenant_id).inventory.find(storable(text))

    def explain(
        self, tenant_id: str, corpus: str, subject: str, text: str, *, exclude_id: str = "", limit: int = 10
    ) -> Explanation:
        """The best hits of a corpus ("tickets" or "articles"), below the floor too, with all parts.

        Raises:
            IndexUnavailableError: Nothing is published, or nothing readable.
        """
        started = time.perf_counter()
        snapshot = self._snapshot(tenant_id)
        weights = self._weights(corpus)
        index, query = snapshot.corpora[corpus], _query(subject, text)
        hits = _search(
            snapshot,
            corpus,
            query,
            replace(weights, floor=0.0),
            self._settings,
            limit,
            lambda record: record["id"] != exclude_id,
        )
        explained = (replace(h, shared_terms=index.explain_terms(index.cleaned(query), h.row)) for h in hits)
        return Explanation(snapshot.manifest, weights, tuple(explained), time.perf_counter() - started)

    def manifest(self, tenant_id: str) -> Manifest:
        """The manifest of the snapshot that queries are answered from.

        Raises:
            IndexUnavailableError: Nothing is published, or nothing readable.
        """
        return self._snapshot(tenant_id).manifest

    def preload(self, tenant_ids: Iterable[str]) -> None:
        """Open the snapshots of these tenants and run each part once, so that a fork starts warm."""
        for tenant_id in tenant_ids:
            try:
                self.similar_tickets(tenant_id, "warm", "up", exclude_ticket_id="", limit=1)
                self.kb_articles(tenant_id, "warm", "up", limit=1)
            except IndexUnavailableError as error:
                logger.bind(tenant_id=tenant_id).info("nothing to preload: {}", error)

    def _hits(
        self, tenant_id: str, corpus: str, subject: str, text: str, limit: int, admits: Admits
    ) -> Sequence[Hit]:
        snapshot = self._snapshot(tenant_id)
        query = _query(subject, text)
        return _search(snapshot, corpus, query, self._weights(corpus), self._settings, limit, admits)

    def _weights(self, corpus: str) -> CorpusWeights:
        return self._settings.tickets if corpus == TICKETS else self._settings.articles

    def _snapshot(self, tenant_id: str) -> Snapshot:
        with self._lock:
            followed = self._tenants.get(tenant_id)
            if followed is None:
                location = TenantLocation(self._location, tenant_id)
                followed = FollowedSnapshot(location, self._cache_dir, self._settings.refresh_seconds)
                self._tenants[tenant_id] = followed
        return followed.get()


def _search(
    snapshot: Snapshot,
    corpus: str,
    query: Query,
    weights: CorpusWeights,
    settings: SearchSettings,
    limit: int,
    admits: Admits,
) -> list[Hit]:
    index = snapshot.corpora[corpus]
    if query.is_empty or not len(index) or limit < 1:
        return []
    cleaned = index.cleaned(query)
    return index.hits(
        cleaned, snapshot.vector(corpus, cleaned), weights, settings, limit=limit, admits=admits
    )


def _query(subject: str, text: str) -> Query:
    return Query(storable(subject), storable(text))


def _everything(_: Record) -> bool:
    return True


def _ticket(record: Record) -> Ticket:
    return Ticket(
        ticket_id=record["id"] or "",
        status=record.get("status") or "",
        group=record.get("group") or "",
        site=record.get("site") or "",
        template=record.get("template") or "",
    )


def _similar_ticket(hit: Hit) -> SimilarTicket:
    record = hit.record
    resolved_at = record.get("resolved_at")
    return SimilarTicket(
        ticket_id=record["id"] or "",
        similarity_score=round(hit.score, 4),
        subject=record.get("subject") or "",
        resolution=record.get("resolution") or "",
        status=record.get("status") or "",
        resolved_at=datetime.fromisoformat(resolved_at) if resolved_at else None,
    )


def _article(hit: Hit) -> KbArticle:
    return KbArticle(
        article_id=hit.record["id"] or "",
        relevance_score=round(hit.score, 4),
        title=hit.record.get("title") or "",
        content=hit.record.get("content") or "",
    )
