"""Step three: the section on the ticket, once, without harm to what people wrote.

ServiceDesk Plus replaces a text as a whole and knows no conditional write. So the text is read right before
each write and read back after it, until the section stands there: a write whose outcome is unknown, and an
edit by somebody else that came in between, are both met by looking again and writing onto what is there now.
"""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from loguru import logger

from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.errors import (
    DatabaseUnavailableError,
    ServiceDeskRefusedError,
    WriteOutcomeUnknownError,
)
from enhancer_dagster.domain.ports import History, JobQueue, ServiceDesk
from enhancer_dagster.domain.section import find_sections, replace_sections
from enhancer_dagster.domain.steps.ownership import ownership_test
from enhancer_dagster.domain.steps.values import TicketRun
from enhancer_dagster.domain.tenants import WriteBack
from enhancer_dagster.domain.text import html_to_text
from enhancer_dagster.domain.tickets import Note

MOST_WRITES = 3
"""A section that does not stand there after so many writes is being removed by somebody else."""


@dataclass(frozen=True)
class WritePorts:
    """What writing back needs."""

    desk: ServiceDesk
    history: History
    queue: JobQueue


@dataclass(frozen=True)
class WriteTask:
    """One section to be written to one ticket.

    Attributes:
        section_html: The whole section.
        before_write: Passes the fence, or raises.
        deadline: For all reads and writes together.
    """

    run: TicketRun
    section_html: str
    ports: WritePorts
    before_write: Callable[[], object]
    deadline: Deadline


def write(task: WriteTask, where: WriteBack) -> tuple[str | None, int]:
    """Put the section where the tenant wants it.

    Returns:
        The note's id, None where the description holds the section, and the number of writes.

    Raises:
        ServiceDeskRefusedError: SDP said no, or accepted and did not keep it.
        WriteOutcomeUnknownError: Nobody can tell whether the last write took effect.
        FenceClosedError: Another run owns the job by now.
    """
    return write_note(task) if where is WriteBack.NOTE else (None, write_description(task))


def write_description(task: WriteTask) -> int:
    """Put the section into the ticket's description, in place of an older one of ours.

    Returns:
        The number of writes; none where the section stood there already.

    Raises:
        As `write`.
    """

    def read() -> str:
        return task.ports.desk.ticket(task.run.ticket_id, task.deadline).description or ""

    def write(html: str) -> None:
        task.ports.desk.replace_description(task.run.ticket_id, html, task.deadline)

    return _until_it_stands(task, read, write)


def write_note(task: WriteTask) -> tuple[str, int]:
    """Put the section into a note that only technicians see: ours, where there is one, else a new one.

    A note whose creation had no answer is not created again: the next attempt looks for it.

    Returns:
        The note's id and the number of writes.

    Raises:
        As `write`.
    """
    desk, ticket_id, deadline = task.ports.desk, task.run.ticket_id, task.deadline
    note = _our_note(task)
    if note is None:
        task.before_write()
        return desk.add_note(ticket_id, task.section_html, deadline), 1
    note_id = note.note_id

    def read() -> str:
        found = desk.note(ticket_id, note_id, deadline)
        return (found and found.description) or ""

    writes = _until_it_stands(task, read, lambda html: desk.replace_note(ticket_id, note_id, html, deadline))
    return note_id, writes


def _until_it_stands(task: WriteTask, read: Callable[[], str], write: Callable[[str], None]) -> int:
    unknown: WriteOutcomeUnknownError | None = None
    for writes in range(MOST_WRITES + 1):
        current = read()
        wanted = replace_sections(current, task.section_html, _ownership(task, current))
        if html_to_text(wanted) == html_to_text(current):
            return writes
        if writes == MOST_WRITES:
            break
        task.before_write()
        try:
            write(wanted)
            unknown = None
        except WriteOutcomeUnknownError as error:
            logger.warning("a write had no answer, the ticket is looked at: {}", error)
            unknown = error
    raise unknown or ServiceDeskRefusedError(
        f"ServiceDesk Plus accepted {MOST_WRITES} changes of ticket {task.run.ticket_id} and keeps none"
    )


def _ownership(task: WriteTask, html: str) -> Callable[[UUID], bool]:
    run, ports = task.run, task.ports
    others = {section.correlation_id for section in find_sections(html)} - {run.correlation_id}
    owned = ownership_test(ports.history, ports.queue, run.tenant_id, run.ticket_id, others)
    return lambda correlation_id: correlation_id == run.correlation_id or owned(correlation_id)


def _our_note(task: WriteTask) -> Note | None:
    run, desk = task.run, task.ports.desk
    try:
        last = task.ports.history.last_enhancement(run.tenant_id, run.ticket_id)
    except DatabaseUnavailableError as error:
        logger.warning("history cannot tell which note is ours, its footer will: {}", error)
        last = None
    if last and last.note_id and (note := desk.note(run.ticket_id, last.note_id, task.deadline)):
        return note
    for note in desk.notes(run.ticket_id, task.deadline):
        html = note.description or ""
        ours = _ownership(task, html)
        if any(ours(section.correlation_id) for section in find_sections(html)):
            return note
    return None
