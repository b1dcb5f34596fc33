"""Whether a delivery comes from its tenant: three forms, all over the raw bytes and in constant time.

A stranger cannot tell an unknown tenant, a disabled one and a wrong signature apart: all cost the same work.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from standardwebhooks.webhooks import hmac_data

from enhancer_dagster.domain.tenants import MOST_WEBHOOK_SECRETS, Tenant

TOLERANCE_SECONDS = 300
REMEMBER_SECONDS = 30 * 86400
REMEMBER_BODY_SECONDS = 600
"""Without id and timestamp the same body may well be a new event, so it counts as a repeat only this long."""

SECRETS_TRIED = MOST_WEBHOOK_SECRETS
"""At least; dummies fill up, so that a rotation under way does not show either."""

MAX_SIGNATURES = 16
MIN_STANDARD_KEY_BYTES = 16
MAX_PLAIN_ID = 128

RawHeaders = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True)
class DeliveryKey:
    """How a delivery is recognised when it comes again, and for how many seconds."""

    delivery_id: str
    remember_seconds: int


@dataclass(frozen=True)
class _Proof:
    """What the sender sent to prove itself; None where it did not."""

    webhook_id: bytes | None
    webhook_timestamp: bytes | None
    webhook_signature: bytes | None
    signature: bytes | None
    timestamp: bytes | None
    token: bytes | None


_HEADERS = {
    b"webhook-id": "webhook_id",
    b"webhook-timestamp": "webhook_timestamp",
    b"webhook-signature": "webhook_signature",
    b"x-servicedesk-signature": "signature",
    b"x-servicedesk-timestamp": "timestamp",
    b"x-servicedesk-token": "token",
}


class Verifier:
    """Checks deliveries.

    Args:
        clock: Unix time in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._dummy = base64.b64encode(secrets.token_bytes(32))

    def verify(self, tenant: Tenant | None, headers: RawHeaders, body: bytes) -> DeliveryKey | None:
        """The delivery's key where one of the forms proves it, else None.

        Args:
            tenant: Whom the sender claims to be; None where there is no such tenant.
            headers: As they came, names in lower case.
            body: As it came.
        """
        proof = _proof(headers)
        if proof is None:
            return None
        keys = self._keys(tenant)
        signed = self._standard_webhooks(proof, body, keys)
        proven = signed | self._hmac(proof, body, keys)
        if _token_matches(proof.token, keys):
            proven |= tenant is not None and tenant.static_token_allowed
        if not proven or tenant is None or not tenant.active:
            return None
        # Only its own form's signature covers webhook-id: under another one anybody could vary it.
        return _delivery_key(proof.webhook_id if signed else None, proof.timestamp, body)

    def _keys(self, tenant: Tenant | None) -> Sequence[bytes]:
        active = tenant.webhook_secrets if tenant is not None and tenant.active else ()
        keys = [value.encode() for secret in active if (value := secret.get_secret_value())]
        return keys + [self._dummy] * (SECRETS_TRIED - len(keys))

    def _standard_webhooks(self, proof: _Proof, body: bytes, keys: Sequence[bytes]) -> bool:
        """Standard Webhooks 1.0, https://github.com/standard-webhooks/standard-webhooks.

        Of the reference library only the primitive serves here: its `verify` reads the clock by itself,
        takes fractions and exponents for a timestamp, and fails on a body that is not UTF-8.
        """
        if not (proof.webhook_id and proof.webhook_signature and self._is_now(proof.webhook_timestamp)):
            return False
        content = b"%b.%b.%b" % (proof.webhook_id, proof.webhook_timestamp, body)
        given = [one[3:] for one in proof.webhook_signature.split(b" ")[:MAX_SIGNATURES] if one[:3] == b"v1,"]
        matched = False
        for key in keys:
            standard_key = _standard_key(key)
            expected = base64.b64encode(hmac_data(standard_key or self._dummy, content))
            equal = [hmac.compare_digest(expected, one) for one in given]
            matched |= standard_key is not None and any(equal)
        return matched

    def _hmac(self, proof: _Proof, body: bytes, keys: Sequence[bytes]) -> bool:
        if proof.signature is None or (proof.timestamp is not None and not self._is_now(proof.timestamp)):
            return False
        content = body if proof.timestamp is None else b"%b.%b" % (proof.timestamp, body)
        matched = False
        for key in keys:
            expected = b"sha256=" + hmac.digest(key, content, "sha256").hex().encode()
            matched |= hmac.compare_digest(expected, proof.signature.lower())
        return matched

    def _is_now(self, timestamp: bytes | None) -> bool:
        if not timestamp or len(timestamp) > 12 or not timestamp.isdigit():
            return False
        return abs(self._clock() - int(timestamp)) <= TOLERANCE_SECONDS


def _proof(headers: RawHeaders) -> _Proof | None:
    """The headers that matter; None where one came twice or is not plain ASCII."""
    found: dict[str, bytes | None] = dict.fromkeys(_HEADERS.values())
    for name, value in headers:
        field = _HEADERS.get(name)
        if field is None:
            continue
        if found[field] is not None or not value.isascii():
            return None
        found[field] = value
    return _Proof(**found)


def _standard_key(secret: bytes) -> bytes | None:
    """The key in a secret of Standard Webhooks, `whsec_` and base64; None where it is not such a one."""
    encoded = secret.removeprefix(b"whsec_").rstrip(b"=")
    try:
        key = base64.b64decode(encoded + b"=" * (-len(encoded) % 4), validate=True)
    except binascii.Error:
        return None
    return key if len(key) >= MIN_STANDARD_KEY_BYTES else None


def _token_matches(token: bytes | None, keys: Sequence[bytes]) -> bool:
    if token is None:
        return False
    given = hashlib.sha256(token).digest()
    matched = False
    for key in keys:
        matched |= hmac.compare_digest(hashlib.sha256(key).digest(), given)
    return matched


def _delivery_key(webhook_id: bytes | None, timestamp: bytes | None, body: bytes) -> DeliveryKey:
    if webhook_id is not None:
        name = webhook_id.decode("ascii")
        if len(name) > MAX_PLAIN_ID or not name.isprintable():
            name = "sha256:" + hashlib.sha256(webhook_id).hexdigest()
        return DeliveryKey(name, REMEMBER_SECONDS)
    if timestamp is not None:
        digest = hashlib.sha256(b"%b.%b" % (timestamp, body)).hexdigest()
        return DeliveryKey("sha256:" + digest, REMEMBER_SECONDS)
    return DeliveryKey("sha256:" + hashlib.sha256(body).hexdigest(), REMEMBER_BODY_SECONDS)
