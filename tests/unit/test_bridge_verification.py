"""Signatures, against published vectors, the reference library and hostile input."""

import base64
import hashlib
import hmac
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from enhancer_dagster.bridge.verification import DeliveryKey, Verifier
from enhancer_dagster.domain.tenants import Tenant
from tests.bridge_server import standard
from tests.factories import make_tenant

NOW = 1_614_265_330
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'
VERIFIER = Verifier(lambda: NOW)
Headers = dict[str, str | bytes]


def tenant(*secrets: str, **fields: Any) -> Tenant:
    return make_tenant(webhook_secrets=tuple(SecretStr(one) for one in secrets or (SECRET,)), **fields)


def verify(headers: Headers, body: bytes = BODY, whose: Tenant | None = None) -> DeliveryKey | None:
    raw = [
        (name.lower().encode(), value if isinstance(value, bytes) else value.encode("latin-1"))
        for name, value in headers.items()
    ]
    return VERIFIER.verify(whose or tenant(), raw, body)


def vector(**changes: str) -> Headers:
    """The example of the Standard Webhooks specification."""
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": str(NOW),
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    return {**headers, **{name.replace("_", "-"): value for name, value in changes.items()}}


def hmac_headers(body: bytes = BODY, secret: str = SECRET, timestamp: str | None = None) -> Headers:
    content = body if timestamp is None else timestamp.encode() + b"." + body
    headers: Headers = {
        "X-ServiceDesk-Signature": "sha256=" + hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()
    }
    return headers | ({} if timestamp is None else {"X-ServiceDesk-Timestamp": timestamp})


def test_the_specifications_example() -> None:
    assert verify(vector()) == DeliveryKey("msg_p5jXN8AQM9LWM0D4loKWxJek", 30 * 86400)


@given(
    st.text(min_size=0, max_size=300), st.binary(min_size=24, max_size=64), st.from_regex(r"\A[!-~]{1,80}\Z")
)
def test_whatever_the_reference_library_signs_is_accepted(text: str, key: bytes, message_id: str) -> None:
    raw = text.encode("utf-8", "replace")
    secret = "whsec_" + base64.b64encode(key).decode()
    headers: Headers = {**standard(raw, secret, message_id, NOW)}
    assert verify(headers, raw, tenant(secret)) == DeliveryKey(message_id, 30 * 86400)
    assert verify(headers, raw, tenant(secret.removeprefix("whsec_").rstrip("="))) is not None
    assert verify(headers, raw + b" ", tenant(secret)) is None
    assert verify(headers, raw, tenant()) is None


def test_a_body_that_is_not_text_can_be_signed() -> None:
    raw = b"\xff\xfe\x00"
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    content = b"id." + str(NOW).encode() + b"." + raw
    signature = base64.b64encode(hmac.digest(key, content, "sha256")).decode()
    headers = vector(webhook_id="id", webhook_signature=f"v1,{signature}")
    assert verify(headers, raw) is not None


@pytest.mark.parametrize(
    "signature",
    [
        "v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "v1a,zz v2,yy v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= v1,%%%",
    ],
)
def test_one_right_signature_of_several_is_enough(signature: str) -> None:
    assert verify(vector(webhook_signature=signature)) is not None


@pytest.mark.parametrize(
    "signature",
    [
        "", "v1,", "v1", ",", "v1,====", "v1,%%%%", "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "v1,h0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OF=", "v1,\xfc", "v1,é", " ".join(["v1,AAAA"] * 5000),
    ],
)  # fmt: skip
def test_malformed_and_wrong_signatures(signature: str) -> None:
    assert verify(vector(webhook_signature=signature)) is None


@pytest.mark.parametrize("seconds", [-300, -1, 0, 300])
def test_the_window(seconds: int) -> None:
    assert verify(hmac_headers(timestamp=str(NOW + seconds))) is not None


@pytest.mark.parametrize(
    "timestamp",
    [
        str(NOW - 301), str(NOW + 301), f"{NOW}.0", f"+{NOW}", f" {NOW}", f"{NOW} ", "-1", "",
        "1.614265330e9", "1_614_265_330", "nan", "inf", "\u0663", "9" * 400, f"0x{NOW:x}",
    ],
)  # fmt: skip
def test_timestamps_outside_of_it_or_not_strictly_digits(timestamp: str) -> None:
    encoded = timestamp.encode()
    content = encoded + b"." + BODY
    signature = "sha256=" + hmac.new(SECRET.encode(), content, hashlib.sha256).hexdigest()
    assert verify({"X-ServiceDesk-Signature": signature, "X-ServiceDesk-Timestamp": encoded}) is None
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    standard_signature = base64.b64encode(hmac.digest(key, b"id." + content, "sha256")).decode()
    headers: Headers = {
        "webhook-id": "id",
        "webhook-timestamp": encoded,
        "webhook-signature": f"v1,{standard_signature}",
    }
    assert verify(headers) is None


def test_the_timestamp_is_part_of_what_is_signed() -> None:
    headers = hmac_headers(timestamp=str(NOW))
    assert verify(headers) is not None
    assert verify(headers | {"X-ServiceDesk-Timestamp": str(NOW + 1)}) is None
    assert verify({"X-ServiceDesk-Signature": headers["X-ServiceDesk-Signature"]}) is None
    assert verify(hmac_headers() | {"X-ServiceDesk-Timestamp": str(NOW)}) is None


@pytest.mark.parametrize("change", [str.upper, str.lower])
def test_hex_digits_of_either_case(change: Callable[[str], str]) -> None:
    signature = str(hmac_headers()["X-ServiceDesk-Signature"])
    assert (
        verify({"X-ServiceDesk-Signature": "sha256=" + change(signature.removeprefix("sha256="))}) is not None
    )


def test_every_active_secret_counts_in_every_form() -> None:
    rotating = tenant("newest-secret", SECRET)
    assert verify(hmac_headers(secret="newest-secret"), whose=rotating) is not None
    assert verify(hmac_headers(), whose=rotating) is not None
    assert verify(vector(), whose=rotating) is not None
    assert verify(hmac_headers(secret="retired"), whose=rotating) is None


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_AAAA", "pass", "!!!!!!!!AA"])
def test_a_secret_that_is_no_key_opens_nothing_under_standard_webhooks(secret: str) -> None:
    try:
        weak = base64.b64decode(secret.removeprefix("whsec_") + "==")
    except ValueError:
        weak = b""
    for key in (weak, b""):
        content = f"id.{NOW}.".encode() + BODY
        signature = base64.b64encode(hmac.digest(key, content, "sha256")).decode()
        headers = vector(webhook_id="id", webhook_signature=f"v1,{signature}")
        assert verify(headers, whose=tenant(secret)) is None


def test_an_empty_secret_opens_nothing() -> None:
    nobody_signs = tenant("", static_token_allowed=True)
    assert verify(hmac_headers(secret=""), whose=nobody_signs) is None
    assert verify({"X-ServiceDesk-Token": ""}, whose=nobody_signs) is None


def test_the_static_token_needs_the_tenants_leave() -> None:
    headers: Headers = {"X-ServiceDesk-Token": SECRET}
    assert verify(headers) is None
    assert verify(headers, whose=tenant(static_token_allowed=True)) is not None
    assert verify({"X-ServiceDesk-Token": SECRET + "x"}, whose=tenant(static_token_allowed=True)) is None


def test_doubled_headers_are_refused() -> None:
    for name, value in vector().items():
        raw = [(key.encode(), str(one).encode()) for key, one in vector().items()]
        assert VERIFIER.verify(tenant(), raw, BODY) is not None
        raw.append((name.encode(), str(value).encode()))
        assert VERIFIER.verify(tenant(), raw, BODY) is None


def test_how_a_delivery_is_recognised() -> None:
    plain = hashlib.sha256(BODY).hexdigest()
    stamped = hashlib.sha256(str(NOW).encode() + b"." + BODY).hexdigest()
    assert verify(hmac_headers()) == DeliveryKey(f"sha256:{plain}", 600)
    assert verify(hmac_headers(timestamp=str(NOW))) == DeliveryKey(f"sha256:{stamped}", 30 * 86400)
    assert verify(hmac_headers() | {"webhook-id": "unsigned"}) == DeliveryKey(f"sha256:{plain}", 600)


def test_an_endless_id_is_remembered_by_its_hash() -> None:
    secret = "whsec_" + base64.b64encode(b"k" * 32).decode()
    headers: Headers = {**standard(BODY, secret, "i" * 5000, NOW)}
    key = verify(headers, whose=tenant(secret))
    assert key is not None
    assert len(key.delivery_id) == len("sha256:") + 64


def test_unknown_and_disabled_tenants_cost_the_same_work_as_a_wrong_signature() -> None:
    for headers in (
        vector(webhook_signature="v1,AAAA"),
        hmac_headers(secret="wrong"),
        {"X-ServiceDesk-Token": "no"},
    ):
        raw = [(name.lower().encode(), str(value).encode()) for name, value in headers.items()]
        work = [_work(whose, raw) for whose in (tenant(), tenant(active=False), None, tenant("a", "b"))]
        assert work[0]["digest"] + work[0]["openssl_sha256"] + work[0]["hmac_digest"] > 0
        assert work == [work[0]] * 4


def _work(whose: Tenant | None, raw: list[tuple[bytes, bytes]]) -> Counter[str]:
    """Which cryptographic functions are called, and how often."""
    called: Counter[str] = Counter()
    interesting = {"digest", "openssl_sha256", "hmac_digest", "compare_digest", "_compare_digest", "hmac_new"}

    def note(_: object, event: str, function: Any) -> None:
        if event == "c_call" and function.__name__ in interesting:
            called[function.__name__] += 1

    sys.setprofile(note)
    try:
        assert VERIFIER.verify(whose, raw, BODY) is None
    finally:
        sys.setprofile(None)
    return called


names = st.sampled_from(
    [
        "webhook-id", "webhook-timestamp", "webhook-signature", "x-servicedesk-signature",
        "x-servicedesk-timestamp", "x-servicedesk-token", "other",
    ]
)  # fmt: skip
values = st.binary(max_size=200) | st.sampled_from([str(NOW).encode(), b"v1,AAAA", b"sha256=00", b"v1,"])


@given(st.lists(st.tuples(names, values), max_size=8), st.binary(max_size=200), st.booleans(), st.booleans())
def test_no_input_raises_or_gets_through(
    headers: list[tuple[str, bytes]], body: bytes, known: bool, static: bool
) -> None:
    whose = tenant(static_token_allowed=static) if known else None
    raw = [(name.encode(), value) for name, value in headers]
    assert Verifier(lambda: NOW).verify(whose, raw, body) is None
