"""Debian's nginx with a recipe of deploy/nginx, in which a test's ports and files stand for a user's."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import require

RECIPES = Path(__file__).parents[1] / "deploy" / "nginx"


@contextmanager
def running_nginx(folder: Path, recipe: str, replacements: Mapping[str, str]) -> Iterator[None]:
    """An nginx in a new `folder`, until the block ends; it may need a moment until it answers."""
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    require(nginx is not None, "Debian's nginx is missing")
    text = (RECIPES / recipe).read_text()
    for there, here in replacements.items():
        assert there in text
        text = text.replace(there, here)
    (folder / "nginx.conf").write_text(_configuration(folder, text))
    process = subprocess.Popen([str(nginx), "-c", folder / "nginx.conf", "-e", folder / "error.log"])
    try:
        yield
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
