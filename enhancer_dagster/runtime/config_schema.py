"""Dagster's config schema of a model of settings, so that each setting is described once."""

from collections.abc import Mapping
from typing import Any

from dagster import Field, IntSource, Map, StringSource
from pydantic import BaseModel
from pydantic.fields import FieldInfo

_TYPES: Mapping[Any, Any] = {
    int: IntSource,
    str: StringSource,
    tuple[str, ...]: [str],
    Mapping[str, str]: Map(str, str),
}


def config_schema(settings: type[BaseModel]) -> dict[str, Any]:
    """The schema of `settings` as `dagster.yaml` has them: `{env: NAME}` works for each number and text."""
    return {name: _field(field) for name, field in settings.model_fields.items()}


def _field(field: FieldInfo) -> Field:
    type_ = _TYPES[field.annotation]
    if field.is_required():
        return Field(type_, description=field.description)
    default = list(field.default) if isinstance(field.default, tuple) else field.default
    return Field(type_, default_value=default, description=field.description)
