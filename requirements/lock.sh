#!/usr/bin/env bash
# Rewrites requirements/*.txt from pyproject.toml: `requirements/lock.sh` (needs uv on the PATH).
# torch and what its CUDA build brings are left out: `make setup` installs torch in a call of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
torch=$(cat requirements/torch.txt)
compile() {
    uv pip compile pyproject.toml "$@" --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
        --constraint <(echo "$torch") --generate-hashes --no-annotate --no-header \
        --quiet --no-emit-package torch --no-emit-package triton \
        $(grep -hoE '^(nvidia|cuda)-[a-z0-9-]+' <(uv pip compile pyproject.toml --python-version 3.11 --quiet \
            --python-platform x86_64-manylinux_2_28 --constraint <(echo "$torch") --no-header --no-annotate) \
            | sed 's/^/--no-emit-package /')
}
compile --output-file requirements/runtime.txt
compile --extra celery --constraint requirements/runtime.txt --output-file requirements/celery.txt
compile --extra dev --constraint requirements/runtime.txt --output-file requirements/dev.txt
uv pip compile requirements/llm.in --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
    --generate-hashes --no-annotate --no-header --quiet --output-file requirements/llm.txt
