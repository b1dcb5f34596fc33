"""`enhancer quarantine`: webhook bodies that could not be read, kept until somebody looks at them."""

import typer

app = typer.Typer(help="Webhook bodies that could not be read.", no_args_is_help=True)
