"""Secrets at rest: authenticated encryption with keys that can be rotated (cryptography's MultiFernet)."""

import base64
import json
import secrets
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import SecretStr

from enhancer_dagster.domain.errors import ConfigurationError


class Cipher:
    """Encrypts with the first key and decrypts with any.

    Args:
        keys: Fernet keys, newest first, separated by commas.

    Raises:
        ConfigurationError: A key is not one.
    """

    def __init__(self, keys: SecretStr) -> None:
        parts = [part.strip() for part in keys.get_secret_value().split(",") if part.strip()]
        try:
            self._fernet = MultiFernet([Fernet(part) for part in parts])
        except ValueError:
            raise ConfigurationError(
                "ENHANCER_SECRET_KEY holds something that is no Fernet key (32 bytes, url-safe base64)"
            ) from None

    def encrypt(self, plain: bytes) -> bytes:
        """`plain` as a Fernet token."""
        return self._fernet.encrypt(plain)

    def decrypt(self, token: bytes) -> bytes:
        """What `encrypt` was given, under this key or an older one.

        Raises:
            ConfigurationError: No key fits.
        """
        try:
            return self._fernet.decrypt(token)
        except InvalidToken:
            raise ConfigurationError(
                "stored secrets cannot be read with ENHANCER_SECRET_KEY: put the key they were written with "
                "behind the new one, separated by a comma"
            ) from None

    def encrypt_fields(self, fields: dict[str, Any]) -> bytes:
        """A JSON object of secrets as one token."""
        return self.encrypt(json.dumps(fields).encode())

    def decrypt_fields(self, token: bytes) -> dict[str, Any]:
        """What `encrypt_fields` was given."""
        return json.loads(self.decrypt(token))


def generate_webhook_secret() -> SecretStr:
    """A secret for HMAC: 32 random bytes in the form that Standard Webhooks asks for."""
    return SecretStr("whsec_" + base64.b64encode(secrets.token_bytes(32)).decode())


def generate_key() -> SecretStr:
    """A new Fernet key."""
    return SecretStr(Fernet.generate_key().decode())
