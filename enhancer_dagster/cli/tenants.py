"""`enhancer tenants`: who is served, and with which secrets."""

from typing import Annotated, Any

import typer
from pydantic import SecretStr
from rich.markup import escape
from rich.table import Table

from enhancer_dagster.adapters.secrets import Cipher, generate_webhook_secret
from enhancer_dagster.adapters.tenants import TenantStore
from enhancer_dagster.cli.common import console, installation, operator, print_json
from enhancer_dagster.cli.destinations import require_reachable
from enhancer_dagster.database import Database
from enhancer_dagster.domain.errors import ConfigurationError
from enhancer_dagster.domain.tenants import MOST_WEBHOOK_SECRETS, Edition, Tenant, WriteBack
from enhancer_dagster.settings import Settings

app = typer.Typer(help="Who is served, and with which secrets.", no_args_is_help=True)

SETTABLE = {
    "name": "what people call it",
    "write_back": "description or note",
    "static_token_allowed": "true or false",
    "language_model.enabled": "true or false",
    "language_model.model": "empty: the installation's",
    "language_model.fallback_models": "a,b",
    **dict.fromkeys(("enhance.groups", "enhance.sites", "enhance.templates", "enhance.statuses"), "a,b"),
    **dict.fromkeys(("index.groups", "index.sites", "index.templates", "index.statuses"), "a,b"),
    "personal_data": "keep, mask or restore (for the LLM masked, in the section put back): e-mail addresses, "
    "phone and card numbers",
    "link_hosts": "a,b: links may point there, beside the addresses in the sources",
    "service_desk.base_url": "https://…",
    "service_desk.edition": "onprem or cloud",
    "service_desk.accounts_url": "https://accounts.zoho.…",
    "service_desk.client_id": "OAuth client",
    "service_desk.verify_tls": "true or false",
    "service_desk.legacy_key_header": "true or false",
}
"""Fields of a tenant that `--set` changes, with what they take; an empty list of names means all."""

SECRET_FIELDS = ("api_key", "client_secret", "refresh_token")

Id = Annotated[
    str, typer.Argument(help="Lower-case letters, digits, - and _; part of the webhook's address.")
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help=f"Repeat. Fields: {'; '.join(f'{name} ({takes})' for name, takes in SETTABLE.items())}.",
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(envvar="SDP_API_KEY", help="On premises: the technician's key.", show_envvar=True),
]
ClientSecret = Annotated[
    str | None, typer.Option(envvar="SDP_CLIENT_SECRET", help="Cloud: of the OAuth client.")
]
RefreshToken = Annotated[
    str | None, typer.Option(envvar="SDP_REFRESH_TOKEN", help="Cloud: OAuth refresh token.")
]


AS = typer.Option(
    "--as", metavar="NAME", help="Who does this, for the audit, beside the user of this machine."
)
As = Annotated[str | None, AS]


@app.command()
def add(
    tenant_id: Id,
    url: Annotated[
        str, typer.Option(help="On premises https://host[:port]; cloud https://{dc}/app/{portal}.")
    ],
    write_back: Annotated[
        WriteBack,
        typer.Option(
            prompt="Where does the section go (requesters can read descriptions, notes they cannot)",
            help="Requesters can read descriptions; notes stay with technicians.",
        ),
    ],
    edition: Annotated[Edition, typer.Option(help="Which ServiceDesk Plus it is.")] = Edition.ONPREM,
    api_key: ApiKey = None,
    client_secret: ClientSecret = None,
    refresh_token: RefreshToken = None,
    sets: Sets = None,
    by: As = None,
) -> None:
    """Add a tenant, and show its webhook secret this once."""
    hook_secret = generate_webhook_secret()
    profile: dict[str, Any] = {
        "tenant_id": tenant_id,
        "write_back": write_back,
        "webhook_secrets": [hook_secret],
        "service_desk": {
            "edition": edition,
            "base_url": url,
            "api_key": api_key,
            "client_secret": client_secret,
            "refresh_token": refresh_token,
        },
    }
    with installation() as settings:
        tenant = Tenant.model_validate(with_fields(profile, sets or ()))
        require_reachable(tenant, settings.destinations)
        store(settings).add(tenant, operator(by))
        _show_webhook(settings, tenant, hook_secret)


@app.command()
def edit(
    tenant_id: Id,
    api_key: ApiKey = None,
    client_secret: ClientSecret = None,
    refresh_token: RefreshToken = None,
    sets: Sets = None,
    by: As = None,
) -> None:
    """Change fields of a tenant; running processes follow within seconds."""
    with installation() as settings:
        tenants = store(settings)
        before = tenants.get(tenant_id)
        profile = before.model_dump()
        given = {"api_key": api_key, "client_secret": client_secret, "refresh_token": refresh_token}
        profile["service_desk"] |= {name: value for name, value in given.items() if value is not None}
        after = Tenant.model_validate(with_fields(profile, sets or ()))
        if after.service_desk != before.service_desk:
            require_reachable(after, settings.destinations)
        tenants.update(after, operator(by))
        console.print(f"{tenant_id} is changed.")


@app.command("list")
def list_tenants(json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """All tenants."""
    with installation() as settings:
        tenants = store(settings).list_all()
    if json:
        print_json([_public(tenant) for tenant in tenants])
        return
    table = Table("tenant", "name", "edition", "service desk", "write-back", "model", "active")
    for tenant in tenants:
        choice = tenant.language_model
        model = (choice.model or "default") if choice.enabled else "none"
        desk = tenant.service_desk
        table.add_row(
            tenant.tenant_id, tenant.name, desk.edition.value, str(desk.base_url),
            tenant.write_back.value, model, "yes" if tenant.active else "no",
        )  # fmt: skip
    console.print(table)


@app.command()
def show(tenant_id: Id) -> None:
    """A tenant and who changed it, as JSON; of secrets only that they are there."""
    with installation() as settings:
        tenants = store(settings)
        shown = _public(tenants.get(tenant_id)) | {
            "audit": [entry.model_dump(mode="json") for entry in tenants.audit(tenant_id)]
        }
    print_json(shown)


@app.command()
def audit(
    tenant_id: Annotated[str | None, typer.Argument(help="One tenant; none: all.")] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Who changed which tenant, when and what, newest first; of secrets only that they changed."""
    with installation() as settings:
        entries = store(settings).audit(tenant_id)
    if json:
        print_json([entry.model_dump(mode="json") for entry in entries])
        return
    table = Table("when", "tenant", "who", "action", "what")
    for entry in entries:
        changes = ", ".join(_change(name, change) for name, change in entry.changes.items())
        row = (f"{entry.changed_at:%Y-%m-%d %H:%M:%S %Z}", entry.tenant_id, entry.changed_by, entry.action)
        table.add_row(*row, escape(changes))
    console.print(table)


@app.command()
def enable(tenant_id: Id, by: As = None) -> None:
    """Accept a tenant's webhooks again."""
    _set_active(tenant_id, by, active=True)


@app.command()
def disable(tenant_id: Id, by: As = None) -> None:
    """Refuse a tenant's webhooks; what is queued is still worked off."""
    _set_active(tenant_id, by, active=False)


@app.command()
def rotate_secret(
    tenant_id: Id,
    drop_old: Annotated[
        bool, typer.Option(help="End the rotation: only the newest secret stays valid.")
    ] = False,
    by: As = None,
) -> None:
    """Make a new webhook secret; the old ones stay valid until --drop-old."""
    with installation() as settings:
        tenants = store(settings)
        tenant = tenants.get(tenant_id)
        if drop_old:
            tenants.update(
                tenant.model_copy(update={"webhook_secrets": tenant.webhook_secrets[:1]}),
                operator(by),
                "drop-old-secrets",
            )
            console.print(f"{tenant_id} now has one valid webhook secret.")
            return
        if len(tenant.webhook_secrets) >= MOST_WEBHOOK_SECRETS:
            raise ConfigurationError(
                f"{len(tenant.webhook_secrets)} webhook secrets of {tenant_id} are valid already: once its "
                f"senders use the newest, run enhancer tenants rotate-secret {tenant_id} --drop-old"
            )
        secret = generate_webhook_secret()
        rotated = tenant.model_copy(update={"webhook_secrets": (secret, *tenant.webhook_secrets)})
        tenants.update(rotated, operator(by), "rotate-secret")
        _show_webhook(settings, rotated, secret)


def store(settings: Settings) -> TenantStore:
    """The tenants of an installation that is ready."""
    if settings.database_url is None or settings.secret_key is None:
        raise ConfigurationError("the installation has no database or no secret key")
    return TenantStore(Database(settings.database_url), Cipher(settings.secret_key))


def with_fields(profile: dict[str, Any], sets: list[str] | tuple[()]) -> dict[str, Any]:
    """`profile` with every FIELD=VALUE of `sets` put in; lists are given with commas.

    Raises:
        ConfigurationError: A field is not one that can be set.
    """
    for assignment in sets:
        name, separator, value = assignment.partition("=")
        if not separator or name not in SETTABLE:
            raise ConfigurationError(
                f"--set {assignment!r}: use FIELD=VALUE with a field of: {', '.join(SETTABLE)}"
            )
        *path, last = name.split(".")
        target = profile
        for part in path:
            target = target.setdefault(part, {})
        target[last] = _parsed(last, value)
    return profile


def _parsed(field: str, value: str) -> str | list[str] | None:
    if field in {"groups", "sites", "templates", "statuses", "fallback_models", "link_hosts"}:
        return [part.strip() for part in value.split(",") if part.strip()]
    return value or None


def _set_active(tenant_id: str, by: str | None, *, active: bool) -> None:
    with installation() as settings:
        tenants = store(settings)
        changed = tenants.get(tenant_id).model_copy(update={"active": active})
        tenants.update(changed, operator(by), "enable" if active else "disable")
    console.print(f"{tenant_id} is {'enabled' if active else 'disabled'}.")


def _change(name: str, change: Any) -> str:
    return f"{name}: {change['from']} → {change['to']}" if isinstance(change, dict) else f"{name}: {change}"


def _public(tenant: Tenant) -> dict[str, Any]:
    shown = tenant.model_dump(mode="json")
    desk = shown["service_desk"]
    desk |= {name: "set" if desk[name] else None for name in SECRET_FIELDS}
    return shown | {"webhook_secrets": f"{len(tenant.webhook_secrets)} valid"}


def _show_webhook(settings: Settings, tenant: Tenant, secret: SecretStr) -> None:
    address = f"{settings.webhook_base}/webhook/servicedesk/{tenant.tenant_id}"
    console.print(f"webhook address (behind your proxy): {address}", soft_wrap=True)
    console.print(
        f"webhook secret, shown this once:     {secret.get_secret_value()}", soft_wrap=True, highlight=False
    )
    if not tenant.static_token_allowed:
        console.print(
            "ServiceDesk Plus itself cannot sign: for it to send the secret in X-ServiceDesk-Token, "
            f"run: enhancer tenants edit {tenant.tenant_id} --set static_token_allowed=true",
            soft_wrap=True,
        )
