"""Certificates of a test's own servers on this machine."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def self_signed(folder: Path) -> Path:
    """A file with key and certificate of `127.0.0.1`."""
    key, name = ec.generate_private_key(ec.SECP256R1()), _name("127.0.0.1")
    certificate = _certificate(name, key, name, x509.IPAddress(ip_address("127.0.0.1")))
    file = folder / "server.pem"
    file.write_bytes(_private_pem(key) + _public_pem(certificate.sign(key, hashes.SHA256())))
    return file


def server_context(file: Path) -> ssl.SSLContext:
    """What a server with the key and certificate of `file` speaks TLS with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def issue_certificates(folder: Path) -> None:
    """An authority, `ca.crt`, and by it `server.crt` and `server.key` for the name `localhost`."""
    issuer, authority = ec.generate_private_key(ec.SECP256R1()), _name("CA of a test")
    key = ec.generate_private_key(ec.SECP256R1())
    of_authority = _certificate(authority, issuer, authority).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    of_server = _certificate(_name("localhost"), key, authority, x509.DNSName("localhost"))
    for name, certificate in {"ca.crt": of_authority, "server.crt": of_server}.items():
        (folder / name).write_bytes(_public_pem(certificate.sign(issuer, hashes.SHA256())))
    (folder / "server.key").touch(mode=0o600)
    (folder / "server.key").write_bytes(_private_pem(key))


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _certificate(
    subject: x509.Name, key: ec.EllipticCurvePrivateKey, issuer: x509.Name, *served: x509.GeneralName
) -> x509.CertificateBuilder:
    today = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
    )
    return builder.add_extension(x509.SubjectAlternativeName(served), critical=False) if served else builder


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)


def _public_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
