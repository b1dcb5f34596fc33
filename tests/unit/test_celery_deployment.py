"""The files of `deploy/celery` against the product that they deploy."""

from pathlib import Path
from typing import Any

import yaml

from enhancer_dagster.runtime.system import REPOSITORY
from enhancer_dagster.settings import Settings

DEPLOYMENT = REPOSITORY / "deploy" / "celery"
FOR_HOSTS = {"run_launcher", "concurrency"}


def instance(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text())


def test_dagster_yaml_is_the_products_but_for_the_launcher_and_how_many_runs() -> None:
    one_machine, hosts = instance(REPOSITORY / "dagster.yaml"), instance(DEPLOYMENT / "dagster.yaml")
    assert one_machine.keys() == hosts.keys()
    assert {name for name in hosts if hosts[name] != one_machine[name]} == FOR_HOSTS


def test_every_setting_of_the_environment_file_is_one() -> None:
    names = {
        line.partition("=")[0].removeprefix("ENHANCER_").lower()
        for line in (DEPLOYMENT / "enhancer.env").read_text().splitlines()
        if line.startswith("ENHANCER_")
    }
    of_dagster_yaml = {"redis_url", "run_logs"}
    assert names - of_dagster_yaml <= Settings.model_fields.keys()
    assert of_dagster_yaml <= names
