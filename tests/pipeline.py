"""The ticket job in this process, over a real bridge, a real PostgreSQL, a simulated service desk and an LLM.

Without daemon and workers a run starts in milliseconds, and a test may have it vanish wherever it likes.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, cast
from uuid import UUID, uuid4

import dagster as dg
from pydantic import HttpUrl, SecretStr

from enhancer_dagster.adapters.history import PostgresHistory
from enhancer_dagster.adapters.secrets import generate_key
from enhancer_dagster.database import Database
from enhancer_dagster.defs.assembly import ports_of
from enhancer_dagster.defs.build import build_defs
from enhancer_dagster.defs.config import JOB_NAME, run_request
from enhancer_dagster.domain.destinations import LOOPBACK
from enhancer_dagster.domain.ports import Finish, JobQueue, Ports, ServiceDesk
from enhancer_dagster.domain.tenants import Tenant
from enhancer_dagster.domain.tickets import Claim
from enhancer_dagster.runtime.postgres import EmbeddedPostgres
from enhancer_dagster.settings import Settings
from enhancer_dagster.simulator.server import RunningSimulator, running_simulator
from enhancer_dagster.simulator.simulator import Simulator
from tests.bridge_server import TOKEN, KnownTenants, RunningBridge, shared_bridge
from tests.factories import make_tenant
from tests.llm_server import LlmServer, llm_server


class VanishedError(BaseException):
    """Ends a run as SIGKILL does: nothing that the pipeline could catch."""


@dataclass
class Pipeline:
    """Everything that a run needs, and what a test looks at."""

    settings: Settings
    tenants: KnownTenants
    bridge: RunningBridge
    desk: RunningSimulator
    llm: LlmServer
    ports: Ports
    history: PostgresHistory
    instance: dg.DagsterInstance = field(default_factory=dg.DagsterInstance.ephemeral)

    def new_ticket(self, subject: str = "Mail is down", description: str = "<p>Since Monday</p>") -> str:
        """A ticket that was just opened; its id."""
        return self.desk.simulator.add_ticket(
            subject, description=description, priority="Medium", announce=False
        ).ticket_id

    def send(self, ticket_id: str, tenant_id: str = "acme") -> UUID:
        """A webhook about it, unlike any before; the job's id."""
        sent = self.bridge.send(tenant_id, ticket_id=ticket_id, event=str(uuid4()))
        return UUID(sent.raise_for_status().json()["job_id"])

    def run(self, ports: Callable[[Ports], Ports] = lambda ports: ports, **resources: Any) -> str:
        """Claim the job that is next and work on it, as one run; the run's id."""
        return self.work_on(self.bridge.claim_one(), ports, **resources)

    def work_on(
        self, claim: Claim, ports: Callable[[Ports], Ports] = lambda ports: ports, **resources: Any
    ) -> str:
        """Work on a claim as one run; the run's id."""
        run_id, request = str(uuid4()), run_request(claim, self.settings)
        given = {"ports": ports(self.ports), "settings": self.settings} | resources
        job = build_defs(self.settings, given).resolve_job_def(JOB_NAME)
        with suppress(VanishedError):
            job.execute_in_process(
                run_config=request.run_config,
                tags=dict(request.tags),
                run_id=run_id,
                instance=self.instance,
                raise_on_error=False,
            )
        return run_id

    def writes(self, ticket_id: str) -> int:
        """How often the service desk stored something for us."""
        return len(self.desk.simulator.journal.calls(ticket_id=ticket_id, changed=True))

    def description(self, ticket_id: str) -> str:
        """What stands on the ticket now."""
        return self.desk.simulator.desk.ticket(ticket_id).description

    def row(self, job_id: UUID) -> dict[str, Any]:
        """The job's row of history."""
        (row,) = [row for row in self.history.rows(limit=1000) if row["job_id"] == job_id]
        return row


@contextmanager
def running_pipeline(
    postgres: EmbeddedPostgres, tenant_ids: Iterable[str] = ("acme",), **settings: Any
) -> Iterator[Pipeline]:
    """A pipeline of its own, until the block ends; its tenants share one service desk."""
    with running_simulator(Simulator()) as desk, llm_server() as llm:
        connection = make_tenant().service_desk.model_copy(
            update={"base_url": HttpUrl(desk.url), "api_key": SecretStr("simulator")}
        )
        tenants = KnownTenants([make_tenant(name, service_desk=connection) for name in tenant_ids])
        with shared_bridge(postgres, tenants, run_hard_limit_seconds=120) as bridge:
            chosen = {
                "database_url": bridge.database_url,
                "secret_key": generate_key(),
                "claim_token": TOKEN,
                "claim_url": f"http://127.0.0.1:{bridge.claim_port}",
                "llm_base_url": llm.url,
                "llm_api_key": "test-llm-key",
                "llm_model": "test-model",
                "allow_http": True,
                "private_networks": LOOPBACK,
            }
            ready = Settings.model_validate(chosen | settings)
            ports = replace(ports_of(ready), tenants=tenants)
            history = PostgresHistory(Database(bridge.database_url))
            yield Pipeline(ready, tenants, bridge, desk, llm, ports, history)


def vanish_after_write(ports: Ports) -> Ports:
    """The run vanishes once the service desk has taken the section."""

    class Desk:
        def __init__(self, real: ServiceDesk) -> None:
            self._real = real

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

        def replace_description(self, *given: Any) -> None:
            self._real.replace_description(*given)
            raise VanishedError

        def add_note(self, *given: Any) -> str:
            self._real.add_note(*given)
            raise VanishedError

    class Desks:
        def connect(self, tenant: Tenant, correlation_id: UUID | None = None) -> ServiceDesk:
            return cast("ServiceDesk", Desk(ports.service_desks.connect(tenant, correlation_id)))

    return replace(ports, service_desks=Desks())


def vanish_before_finish(ports: Ports) -> Ports:
    """The run vanishes between its row of history and the end of its job."""

    class Queue:
        def __getattr__(self, name: str) -> Any:
            return getattr(ports.queue, name)

        def finish(self, job_id: UUID, attempt: int, run_id: str, finish: Finish) -> None:
            raise VanishedError

    return replace(ports, queue=cast("JobQueue", Queue()))
