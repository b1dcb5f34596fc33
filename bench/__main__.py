"""`python -m bench NAME`: what the product is measured by. One module a benchmark; each adds a command."""

import typer

from bench import (
    bridge,
    burst,
    database,
    encoder,
    failures,
    growth,
    idle,
    index,
    latency,
    peers,
    redaction,
    repeat,
    retrieval,
    sample,
    soak,
    timing,
    vectors,
)
from bench.chaos import command as chaos
from bench.hosts import command as hosts

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback(help=__doc__)
def _benchmarks() -> None: ...


app.command("latency")(latency.main)
app.command("burst")(burst.main)
app.command("growth")(growth.main)
app.command("soak")(soak.main)
app.command("bridge")(bridge.main)
app.command("database")(database.main)
app.command("idle")(idle.main)
app.command("timing")(timing.main)
app.command("peers")(peers.main)
app.command("retrieval")(retrieval.main)
app.command("sample")(sample.main)
app.command("encoder")(encoder.main)
app.command("index")(index.main)
app.command("vectors")(vectors.main)
app.command("redaction")(redaction.main)
app.command("chaos")(chaos.main)
app.command("failures")(failures.main)
app.command("repeat", context_settings={"ignore_unknown_options": True})(repeat.main)
app.command("hosts")(hosts.main)

if __name__ == "__main__":
    app()
