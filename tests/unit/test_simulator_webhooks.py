"""The proofs that the simulator's webhooks carry, checked by others' means."""

import hashlib
import hmac
import json

import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook, WebhookVerificationError

from enhancer_dagster.simulator.simulator import Simulator
from enhancer_dagster.simulator.webhooks import WebhookScheme, WebhookTarget, proof, webhook_body

BODY = b'{"ticket_id":"7"}'
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def target(scheme: WebhookScheme, secret: str) -> WebhookTarget:
    return WebhookTarget(url="http://127.0.0.1/", scheme=scheme, secret=SecretStr(secret))


def test_the_static_token_is_the_secret_itself() -> None:
    assert proof(target(WebhookScheme.TOKEN, "s3cret"), BODY) == {"X-ServiceDesk-Token": "s3cret"}
    assert proof(target(WebhookScheme.TOKEN, ""), BODY) == {}


def test_the_signature_covers_time_and_body() -> None:
    headers = proof(target(WebhookScheme.HMAC, "s3cret"), BODY, seconds=1_700_000_000)
    expected = hmac.new(b"s3cret", b"1700000000." + BODY, hashlib.sha256).hexdigest()
    assert headers == {
        "X-ServiceDesk-Timestamp": "1700000000",
        "X-ServiceDesk-Signature": f"sha256={expected}",
    }


def test_standard_webhooks_verify() -> None:
    headers = proof(target(WebhookScheme.STANDARD, KEY), BODY)
    assert Webhook(KEY).verify(BODY, headers) == {"ticket_id": "7"}
    with pytest.raises(WebhookVerificationError):
        Webhook(KEY).verify(b'{"ticket_id":"8"}', headers)


def test_the_body_says_what_the_contract_names() -> None:
    ticket = Simulator().add_ticket("No network", "<p>Help</p>", priority="High", created=1_700_000_000_123)
    body = webhook_body("created", ticket)
    assert json.loads(json.dumps(body)) == {
        "event": "created",
        "ticket_id": ticket.ticket_id,
        "subject": "No network",
        "description": "<p>Help</p>",
        "priority": "High",
        "created_at": "2023-11-14T22:13:20.123000+00:00",
    }


def test_a_target_does_not_show_its_secret() -> None:
    assert "s3cret" not in repr(target(WebhookScheme.TOKEN, "s3cret"))
