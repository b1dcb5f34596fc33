"""deploy/: the Dockerfile and the manifests as far as they can be checked where no container can be run."""

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from dagster._config import process_config, resolve_to_config_type

from enhancer_dagster.settings import Settings
from tests.conftest import require

REPOSITORY = Path(__file__).parents[2]
KUBERNETES = REPOSITORY / "deploy" / "kubernetes"
MANIFESTS = ("bridge.yaml", "workers.yaml", "secrets.example.yaml")
VERSION = "1.31"


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((KUBERNETES / name).read_text()))


VALUES = documents("values.yaml")[0]
PARTS = (
    VALUES["dagsterDaemon"],
    VALUES["dagsterWebserver"],
    VALUES["dagster-user-deployments"]["deployments"][0],
)


def containers() -> list[dict[str, Any]]:
    workloads = [d for name in MANIFESTS for d in documents(name) if d["kind"] == "Deployment"]
    return [c for workload in workloads for c in workload["spec"]["template"]["spec"]["containers"]]


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    require(hadolint.exists(), "hadolint is not installed")
    dockerfile = REPOSITORY / "deploy" / "Dockerfile"
    done = subprocess.run([hadolint, dockerfile], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_the_dockerfile_copies_is_there_and_is_sent_to_the_builder() -> None:
    lines = (REPOSITORY / "deploy" / "Dockerfile").read_text().splitlines()
    copied = [
        word
        for line in lines
        if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
    ]
    allowed = (REPOSITORY / ".dockerignore").read_text().splitlines()
    assert "pyproject.toml" in copied
    for path in copied:
        assert (REPOSITORY / path).exists(), path
        assert f"!{path.split('/')[0]}" in allowed
    assert allowed[0] == "*", "what is not named does not get into an image: secrets, data, tests"


def test_the_image_is_pinned_and_nobody_is_root_in_it() -> None:
    text = (REPOSITORY / "deploy" / "Dockerfile").read_text()
    assert "USER 10001:10001" in text
    for part in PARTS:
        assert part["podSecurityContext"]["runAsUser"] == 10001
    images = {f"{part['image']['repository']}:{part['image']['tag']}" for part in PARTS}
    assert images == {container["image"] for container in containers()}, (
        "one image, so one version of the code"
    )


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_manifests_are_valid(name: str) -> None:
    for document in documents(name):
        kubernetes_validate.validate(document, VERSION, strict=True)


def test_secrets_come_by_reference_alone() -> None:
    for part in PARTS:
        assert part["envSecrets"] == [{"name": "enhancer"}]
    for container in containers():
        assert {"secretRef": {"name": "enhancer"}} in container["envFrom"]
        told = {variable["name"] for variable in container.get("env", []) if "value" in variable}
        assert not told & secret_settings()
    for secret in (d for d in documents("secrets.example.yaml") if d["kind"] == "Secret"):
        assert set(secret["stringData"].values()) == {""}, "an example holds no secret"


def secret_settings() -> set[str]:
    return {
        f"ENHANCER_{name.upper()}"
        for name, field in Settings.model_fields.items()
        if "SecretStr" in str(field.annotation)
    }


def test_each_setting_that_is_named_exists() -> None:
    named = {key for d in documents("secrets.example.yaml") for key in (d.get("stringData") or d.get("data"))}
    named |= {variable["name"] for container in containers() for variable in container.get("env", [])}
    known = {f"ENHANCER_{name.upper()}" for name in Settings.model_fields}
    others = {"ENHANCER_REDIS_URL", "OPENROUTER_API_KEY", "postgresql-password", "DAGSTER_PG_PASSWORD"}
    assert named <= known | others


@pytest.mark.parametrize(
    "given",
    [
        VALUES["runLauncher"]["config"]["customRunLauncher"],
        VALUES["computeLogManager"]["config"]["customComputeLogManager"],
        VALUES["dagsterDaemon"]["runCoordinator"]["config"]["customRunCoordinator"],
    ],
    ids=["run launcher", "compute logs", "run coordinator"],
)
def test_dagster_takes_what_the_chart_hands_on(given: dict[str, Any]) -> None:
    taken = getattr(importlib.import_module(given["module"]), given["class"])
    checked = process_config(
        resolve_to_config_type(taken.config_type()), given["config"] | env_given(given["config"])
    )
    assert checked.success, checked.errors


def env_given(config: dict[str, Any]) -> dict[str, str]:
    return {
        name: "from the environment"
        for name, value in config.items()
        if isinstance(value, dict) and "env" in value
    }


def test_values_run_as_the_celery_recipe_does() -> None:
    recipe = yaml.safe_load((REPOSITORY / "deploy" / "celery" / "dagster.yaml").read_text())
    daemon, limits = VALUES["dagsterDaemon"], VALUES["concurrency"]["runs"]
    assert VALUES["runLauncher"]["config"]["customRunLauncher"] == recipe["run_launcher"]
    assert daemon["runCoordinator"]["config"]["customRunCoordinator"] == recipe["run_coordinator"]
    assert VALUES["computeLogManager"]["config"]["customComputeLogManager"] == recipe["compute_logs"]
    assert limits["maxConcurrentRuns"] == recipe["concurrency"]["runs"]["max_concurrent_runs"]
    assert limits["tagConcurrencyLimits"] == recipe["concurrency"]["runs"]["tag_concurrency_limits"]
    assert daemon["sensors"]["numWorkers"] == recipe["sensors"]["num_workers"]
