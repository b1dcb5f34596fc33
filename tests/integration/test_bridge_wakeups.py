"""LISTEN and NOTIFY alone: pollers that never look by themselves are woken for every kind of new work."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

from pydantic import SecretStr

from enhancer_dagster.bridge import transitions
from enhancer_dagster.bridge.database import AsyncDatabase
from enhancer_dagster.bridge.intake import Delivery, Intake
from enhancer_dagster.bridge.notifications import Listener, Wakeups
from enhancer_dagster.bridge.poller import Poller
from enhancer_dagster.bridge.queue import Leases, Queue, RunStart
from enhancer_dagster.domain.outcomes import JobOutcome
from enhancer_dagster.domain.ports import Finish
from enhancer_dagster.domain.tickets import Claim
from tests.bridge_server import connected
from tests.factories import make_record

NEVER = 3600.0


@dataclass
class Parts:
    queue: Queue
    intake: Intake
    poller: Poller
    wakeups: Wakeups

    async def deliver(self, ticket: str) -> None:
        await self.intake.accept(Delivery("acme", uuid4().hex, 600, ticket, description="text"))

    async def poll(self) -> list[Claim]:
        async def stays() -> bool:
            return False

        return list(await self.poller.claim(1, NEVER, stays))

    async def finish(self, claim: Claim, outcome: JobOutcome = JobOutcome.COMPLETED) -> None:
        run = RunStart(claim.job.job_id, claim.attempt, uuid4().hex)
        await self.queue.start(run)
        await self.queue.finish(run, Finish(outcome, make_record()))


@asynccontextmanager
async def parts(url: SecretStr) -> AsyncIterator[Parts]:
    database, wakeups = AsyncDatabase(url), Wakeups()
    await database.open()
    queue, intake = Queue(database, Leases(30, 150)), Intake(database)
    listener = Listener(database, {transitions.CHANNEL: lambda _: wakeups.wake()})
    tasks = [asyncio.create_task(intake.run()), asyncio.create_task(listener.run())]
    listening = wakeups.mark()
    await asyncio.wait_for(listening.wait(), 30)
    try:
        yield Parts(queue, intake, Poller(queue, wakeups, look_again=NEVER), wakeups)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await database.close()


def wakes(url: SecretStr, prepare: Callable[[Parts], Awaitable[Callable[[], Awaitable[object]]]]) -> Claim:
    """The job that a poller gets which was waiting when the work appeared."""

    async def run() -> Claim:
        async with parts(url) as those:
            cause = await prepare(those)
            waiting = asyncio.create_task(those.poll())
            await asyncio.sleep(0.3)
            assert not waiting.done()
            await cause()
            (claim,) = await asyncio.wait_for(waiting, 30)
            return claim

    return asyncio.run(run())


def test_a_delivery(database_url: SecretStr) -> None:
    async def prepare(those: Parts) -> Callable[[], Awaitable[object]]:
        return lambda: those.deliver("1")

    assert wakes(database_url, prepare).job.ticket_id == "1"


def test_the_end_of_a_job_whose_ticket_has_another_one(database_url: SecretStr) -> None:
    async def prepare(those: Parts) -> Callable[[], Awaitable[object]]:
        await those.deliver("1")
        (first,) = await those.poll()
        await those.deliver("1")
        return lambda: those.finish(first)

    assert wakes(database_url, prepare).job.ticket_id == "1"


def test_the_end_of_a_pause(database_url: SecretStr) -> None:
    async def prepare(those: Parts) -> Callable[[], Awaitable[object]]:
        for ticket in ("1", "2", "3"):
            await those.deliver(ticket)
        (first,) = await those.poll()
        await those.finish(first, JobOutcome.RETRY)
        with connected(database_url) as connection:
            connection.execute("UPDATE bridge.tenants SET probe_at = now()")
        (probe,) = await those.poll()
        return lambda: those.finish(probe)

    assert wakes(database_url, prepare).job.ticket_id == "3"


def test_a_lease_that_the_sweep_finds_over(database_url: SecretStr) -> None:
    async def prepare(those: Parts) -> Callable[[], Awaitable[object]]:
        await those.deliver("1")
        await those.poll()

        async def vanish() -> None:
            with connected(database_url) as connection:
                connection.execute("UPDATE bridge.jobs SET lease_expires_at = now()")
            await those.queue.sweep()

        return vanish

    assert wakes(database_url, prepare).attempt == 2


def test_a_person_who_asks_again(database_url: SecretStr) -> None:
    async def prepare(those: Parts) -> Callable[[], Awaitable[object]]:
        await those.deliver("1")
        (claim,) = await those.poll()
        await those.finish(claim, JobOutcome.FAILED)
        return lambda: those.queue.reopen(claim.job.job_id)

    assert wakes(database_url, prepare).asked_again


def test_the_shutdown_of_the_bridge_ends_a_poll_with_nothing(database_url: SecretStr) -> None:
    async def run() -> list[Claim]:
        async with parts(database_url) as those:
            waiting = asyncio.create_task(those.poll())
            await asyncio.sleep(0.3)
            those.wakeups.close()
            return await asyncio.wait_for(waiting, 30)

    assert asyncio.run(run()) == []


def test_a_listener_that_lost_its_connection_listens_again(database_url: SecretStr) -> None:
    async def prepare(those: Parts) -> Callable[[], Awaitable[object]]:
        again = those.wakeups.mark()
        with connected(database_url) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND query LIKE 'LISTEN%'"
            )
        await asyncio.wait_for(again.wait(), 30)
        return lambda: those.deliver("1")

    assert wakes(database_url, prepare).job.ticket_id == "1"
