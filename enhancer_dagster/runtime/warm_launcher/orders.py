"""What launcher, dispatcher and workers tell each other: JSON objects, one a line."""

import hashlib
from functools import cached_property
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Code(BaseModel):
    """The code that a run needs.

    Attributes:
        location: Name of the code location.
        origin: Dagster's `RepositoryPythonOrigin`, serialised: interpreter and code pointer.
        server_id: Of the gRPC code server that has loaded it; a reload gives a new one. None if unknown.
    """

    model_config = ConfigDict(frozen=True)

    location: str
    origin: str
    server_id: str | None = None

    @cached_property
    def key(self) -> str:
        """The same for every version of the same code."""
        return hashlib.sha256(f"{self.location}\n{self.origin}".encode()).hexdigest()[:16]


class RunOrder(BaseModel):
    """A run that shall be executed.

    Attributes:
        max_runtime_seconds: Hard limit, None where the run has none of its own.
        priority: Of those that wait, the highest goes first.
    """

    model_config = ConfigDict(frozen=True)

    run_id: str
    code: Code
    max_runtime_seconds: float | None = None
    priority: int = 0


class Record(BaseModel):
    """What is on disk about an unfinished run, for processes that start later."""

    order: RunOrder
    worker: str | None = Field(default=None, description="Identity of its process; None while it waits.")


class Request(BaseModel):
    """What a client asks of the dispatcher."""

    ask: Literal["launch", "terminate", "knows", "warm", "status", "stop"]
    run_id: str | None = None
    order: RunOrder | None = None
    code: Code | None = None
    instance: str | None = Field(default=None, description="Fingerprint of the asker's dagster.yaml.")


class Hello(BaseModel):
    """A worker's first message: it is ready for runs."""

    pid: int


class Done(BaseModel):
    """A worker's message after each run.

    Attributes:
        memory_mb: The worker's anonymous memory, mapped files left out.
        error: Why the run's end could not be recorded, None in the ordinary case.
        left_behind: Names of threads that should have ended with the run and go on.
    """

    run_id: str
    memory_mb: float
    error: str | None = None
    left_behind: tuple[str, ...] = ()


class Load(BaseModel):
    """What a template is told to load.

    Attributes:
        origin: As in `Code`.
        instance: Dagster's `InstanceRef`, serialised.
        preload: `package.module:function`, to be called after the code is imported.
    """

    origin: str
    instance: str
    preload: tuple[str, ...]


class Loaded(BaseModel):
    """A template's message after loading the code.

    Attributes:
        files: Path and modification time (ns) of every loaded file that may be edited.
        error: Why workers cannot be forked from it, None if they can.
    """

    files: dict[str, int]
    error: str | None = None
