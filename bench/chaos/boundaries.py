"""Where the system is killed."""

from enum import StrEnum


class Boundary(StrEnum):
    """A moment in a ticket's way, or a process at any moment."""

    COMMITTED = "after the commit, before 202"
    CLAIMED = "after the claim"
    RUN_CREATED = "after run creation"
    GATHER = "in gather_context"
    SYNTHESIZE = "in synthesize_enhancement"
    LLM_ANSWERED = "after the LLM answered"
    UPDATE = "in update_ticket"
    WRITTEN = "after SDP accepted, before history"
    RECORD = "in record_outcome"
    BEFORE_FINISH = "before finish"
    FINISHED = "after finish, before its answer"
    BRIDGE = "bridge"
    DAEMON = "daemon"
    CODE_SERVER = "code server"
    WORKER = "run worker"
    TEMPLATE = "template"
    DISPATCHER = "dispatcher"
    WEBSERVER = "webserver"
    POSTGRES = "PostgreSQL"
    ALL = "all at once"


IN_A_RUN = (
    Boundary.GATHER,
    Boundary.SYNTHESIZE,
    Boundary.LLM_ANSWERED,
    Boundary.UPDATE,
    Boundary.WRITTEN,
    Boundary.RECORD,
    Boundary.BEFORE_FINISH,
    Boundary.FINISHED,
)
"""The worker of the run that is there is killed; the rest of the system goes on."""

AT_THE_DOOR = (Boundary.COMMITTED, Boundary.CLAIMED, Boundary.RUN_CREATED)
"""Bridge, code server or daemon is killed."""

PROCESSES = (
    Boundary.BRIDGE,
    Boundary.DAEMON,
    Boundary.CODE_SERVER,
    Boundary.WORKER,
    Boundary.TEMPLATE,
    Boundary.DISPATCHER,
    Boundary.WEBSERVER,
    Boundary.ALL,
)
"""Killed at random moments; PostgreSQL too, which has a rhythm of its own."""
