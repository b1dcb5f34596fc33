"""Debian's nginx with a recipe of deploy/nginx, in which a test's ports and files stand for a user's."""

import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from enhancer_dagster.runtime.free_ports import free_port
from tests.certificates import self_signed
from tests.conftest import require

RECIPES = Path(__file__).parents[1] / "deploy" / "nginx"


@contextmanager
def running_nginx(folder: Path, recipe: str, replacements: Mapping[str, str]) -> Iterator[httpx.Client]:
    """An nginx in a new `folder`, until the block ends; it may need a moment until it answers.

    Args:
        folder: Where its files are, among them its certificate.
        recipe: The file of deploy/nginx.
        replacements: What stands there, and what stands for it here, beside the certificate and its port.

    Yields:
        A client of its HTTPS port that trusts the certificate.
    """
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    require(nginx is not None, "Debian's nginx is missing")
    certificate, port = self_signed(folder), free_port()
    own = {
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "/etc/ssl/enhancer/fullchain.pem": str(certificate),
        "/etc/ssl/enhancer/key.pem": str(certificate),
    }
    text = (RECIPES / recipe).read_text()
    for there, here in (own | dict(replacements)).items():
        assert there in text
        text = text.replace(there, here)
    (folder / "nginx.conf").write_text(_configuration(folder, text))
    process = subprocess.Popen([str(nginx), "-c", folder / "nginx.conf", "-e", folder / "error.log"])
    trusting = ssl.create_default_context(cafile=str(certificate))
    try:
        with httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=trusting, timeout=30) as client:
            yield client
    finally:
        process.terminate()
        process.wait(30)


def _configuration(folder: Path, recipe: str) -> str:
    paths = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{name}_temp_path {folder}/{name};\n" for name in paths)
    # Workers of another user could not read the test's folder.
    user = "user root;\n" if os.geteuid() == 0 else ""
    http = f"access_log off;\n{temporary}{recipe}"
    return f"{user}daemon off;\nworker_processes 1;\npid {folder}/pid;\nevents {{}}\nhttp {{\n{http}\n}}\n"
