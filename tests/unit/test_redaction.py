import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from enhancer_dagster.domain.redaction import CredentialMask, find_credentials, without_credentials

END = "-----END RSA PRIVATE KEY-----"
PEM = f"-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEAu1SU1LfVLPHCozMxH2Mo4lgOEePz\n{END}"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("My password is hunter2 since May.", "My password is [PASSWORD] since May."),
        ("Kennwort: geheim123", "Kennwort: [PASSWORD]"),
        ("the new password for jdoe is Xyz-123!", "the new password for jdoe is [PASSWORD]"),
        ("changed from Alt4711x to Neu0815y today", "changed from Alt4711x to Neu0815y today"),
        ("password changed from Alt4711x to Neu0815y", "password changed from [PASSWORD] to [PASSWORD]"),
        ("Password\nSommer2024!\nRoom 4", "Password\n[PASSWORD]\nRoom 4"),
        ("https://app:S3cret@db01:5432/x", "https://app:[PASSWORD]@db01:5432/x"),
        ("Server=sql01;User Id=sa;Password=Crm!24;", "Server=sql01;User Id=sa;Password=[PASSWORD];"),
        ("the api key is abcd1234efgh5678", "the api key is [API_KEY]"),
        ("Authorization: Bearer abcdefgh12345678", "Authorization: Bearer [TOKEN]"),
        ("use ghp_16C7e42F292c6912E7710c838347Ae178B4a", "use [TOKEN]"),
        ("it is eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln now", "it is [TOKEN] now"),
        (f"Key:\n{PEM}\nThanks", "Key:\n[PRIVATE_KEY]\nThanks"),
        (PEM.removesuffix(END) + "cut off", "[PRIVATE_KEY]\ncut off"),
    ],
)
def test_a_credential_is_taken_out_and_nothing_else(text: str, masked: str) -> None:
    assert without_credentials(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "I forgot my password and cannot log in.",
        "My password expired on 2025-11-02.",
        "Password reset for INC0012345 on srv-prod-01 (10.0.1.100)",
        "Error 0x80070005, correlation id 550e8400-e29b-41d4-a716-446655440000",
        "SHA256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "MAC 00:1A:2B:3C:4D:5E, version 10.0.19045.3803, KB5034441",
        "The token expired. Pin 4 is bent. The key is at reception.",
        "Menu: password → Click first hit, see [KB-12] and [PASSWORD_1]",
        "Password: [PASSWORD_1]",
        "",
    ],
)
def test_what_only_looks_like_a_credential_stays(text: str) -> None:
    assert without_credentials(text) == text


def test_characters_that_show_nothing_do_not_hide_a_credential() -> None:
    assert without_credentials("pass\u200bword: hun\u00adter2\u202e") == "password: [PASSWORD]"


def test_within_a_ticket_a_credential_has_one_placeholder_wherever_it_stands() -> None:
    mask = CredentialMask()
    assert mask.masked("Login with Sommer!24 fails") == "Login with Sommer!24 fails", "nothing announces it"
    text = "My password is Sommer!24, the old password was Winter!23. I typed Sommer!24 twice."
    assert mask.masked(text) == (
        "My password is [PASSWORD_1], the old password was [PASSWORD_2]. I typed [PASSWORD_1] twice."
    )
    assert mask.masked("Another ticket says Winter!23") == "Another ticket says [PASSWORD_2]"
    assert CredentialMask().masked(text) == CredentialMask().masked(text)


def test_a_password_that_is_a_word_is_not_taken_out_of_other_sentences() -> None:
    mask = CredentialMask()
    assert mask.masked("My password is swordfish.") == "My password is [PASSWORD_1]."
    assert mask.masked("The restaurant serves swordfish") == "The restaurant serves swordfish"


def test_what_is_masked_stays_as_it_is() -> None:
    once = without_credentials("password is hunter2, api_key=abcd1234efgh5678")
    assert without_credentials(once) == once


HOSTILE = [
    "password ", "pw: ", "password is ", "pw\n", "passwordpassword", "password for a ", "is is ", "now ", "a",
    "1 ", "=", '"', 'password "', "eyJ", "eyJaaaaaaaaaaa.", "://", "://a:", "sk-", "Bearer a1", "cookie: ",
    "AAAA/+== ", "-----BEGIN PRIVATE KEY-----", "-----BEGIN ", "mysql -p", "$6$", "aws secret key '",
    "xoxb-1-", "glpat-", "0:", "https://hooks.slack.com/services/T", "000000-", "user a ", "login: a/",
    "token is ", "AccountKey=", "?sig=", "net user a ", "<password>", "(", "[", "\u200b", "\n", " ",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_text_is_read_in_time_linear_in_its_length(piece: str) -> None:
    # Eight times the length may take twenty times as long on a busy machine; a square law would take 64.
    short, long = (piece * 25_000)[:25_000], (piece * 200_000)[:200_000]
    bound = 20 * max(least_seconds(short), 0.005)
    assert any(seconds(lambda: CredentialMask().masked(long)) < bound for _ in range(3))


def least_seconds(text: str) -> float:
    return min(seconds(lambda: CredentialMask().masked(text)) for _ in range(3))


def seconds(work: Callable[[], object]) -> float:
    """CPU time, so that what else the machine does counts little."""
    started = time.process_time()
    work()
    return time.process_time() - started


def test_detectors_are_loaded_with_the_first_text() -> None:
    program = (
        "import sys, enhancer_dagster.domain.redaction as r; assert 'detect_secrets' not in sys.modules;"
        "r.find_credentials('x'); assert 'detect_secrets' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_token_between_two_pieces_that_a_detector_reads_is_found() -> None:
    token = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"
    for before in (0, 580, 599, 600, 970, 999, 1_000, 1_180):
        text = " " * before + token + " x" * 2_000
        assert [found.value(text) for found in find_credentials(text)] == [token], before
