"""Everything that a spec can say can be said in YAML, and editors and `dg check yaml` know of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter

from integration_assets.components.document import Lines, read
from integration_assets.components.load import FILE, load
from integration_assets.components.problems import dotted_path
from integration_assets.components.resolve import _value, resolve
from integration_assets.components.shape import shape
from integration_assets.components.template import template
from integration_assets.errors import SpecError
from integration_assets.orchestrate.component import Attributes
from integration_assets.sources import load_sources, source_folder
from integration_assets.spec import Source
from integration_assets.spec.base import Spec
from integration_assets_tests.components.samples import fields, sample, specs
from integration_assets_tests.components.writing import MINIMAL, attributes, write, written
from integration_assets_tests.orchestrate import shop

SCHEMA = Attributes.model_json_schema()
VALIDATOR = Draft202012Validator(SCHEMA)
SOURCES = [*load_sources(), shop.source()]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_a_source_in_python_is_the_same_in_yaml(source: Source, tmp_path: Path) -> None:
    """Every bundled source, written down with all of its fields, loads as an equal spec."""
    path = written(tmp_path / source.name, attributes(source))
    assert load(path) == source


@pytest.mark.parametrize(("spec", "name"), fields(), ids=lambda part: getattr(part, "__name__", part))
def test_every_field_of_every_spec_can_be_given(spec: type[Spec], name: str, tmp_path: Path) -> None:
    """A value of the field's type goes to YAML and comes back equal, whatever fields a spec will have."""
    value = sample(spec, name)
    field, shaped = spec.model_fields[name], shape(spec).model_fields[name]
    plain = json.loads(TypeAdapter(field.annotation).dump_json(value))
    path = tmp_path / FILE
    path.write_text(yaml.safe_dump({name: plain}), encoding="utf-8")
    document = read(path).value
    assert isinstance(document, dict)
    held = TypeAdapter(Annotated[shaped.annotation, shaped]).validate_json(json.dumps(document[name]), strict=True)
    assert _value(held, (), []) == value


def test_the_schema_takes_what_loads(tmp_path: Path) -> None:
    """The bundled file, a new one and the least there can be are valid for editors too."""
    new = write(tmp_path, template("help-desk", "https://helpdesk.example/api/", "tickets"))
    for path in (source_folder("usgs") / FILE, new, written(tmp_path / "least", MINIMAL)):
        values = read(path).value
        assert isinstance(values, dict)
        assert [error.message for error in VALIDATOR.iter_errors(values["attributes"])] == []


def test_a_new_source_loads_as_it_is_scaffolded(tmp_path: Path) -> None:
    """Nothing must be filled in before the definitions load."""
    path = tmp_path / FILE
    path.write_text(template("Help Desk", "https://helpdesk.example/api/", "tickets"), encoding="utf-8")
    source = load(path)
    assert (source.name, source.base_url, source.streams[0].name) == ("help_desk", "https://helpdesk.example/api", "tickets")


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_the_schema_takes_every_bundled_source(source: Source) -> None:
    """All fields of every source are in the schema, with its own types."""
    assert [error.message for error in VALIDATOR.iter_errors(_without_null(attributes(source)))] == []


def _without_null(value: Any) -> Any:  # noqa: ANN401 - any value of JSON
    """An object that is not there is left out in YAML."""
    if isinstance(value, dict):
        return {name: _without_null(inner) for name, inner in value.items() if inner is not None}
    return [_without_null(inner) for inner in value] if isinstance(value, list) else value


def test_editors_are_told_what_each_setting_is() -> None:
    """Every setting of a source, a stream, a cursor and a column has a description, its own or its class's."""
    models = {name: SCHEMA["$defs"][name] for name in ("Stream", "Cursor", "InlineColumn", "Checks")}
    for name, model in {"Source": SCHEMA, **models}.items():
        bare = [key for key, value in model["properties"].items() if "description" not in value and "$ref" not in value]
        assert bare in ([], ["kind"]), name


def test_no_alternative_hides_the_line_of_a_mistake() -> None:
    """The schema has no `anyOf` and `oneOf`: a validator only says of them that nothing fits, at the place above."""
    text = json.dumps(SCHEMA)
    assert '"anyOf"' not in text
    assert '"oneOf"' not in text


def test_every_class_of_the_spec_is_in_the_schema() -> None:
    """What a source can hold, an editor can complete."""
    assert {spec.__name__ for spec in specs()} - {"Source"} <= set(SCHEMA["$defs"])


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("schedule",), 5),
        (("auth",), {"kind": "bearer"}),
        (("auth", "kind"), "oauth"),
        (("limits", "attempts"), "many"),
        (("streams", 0, "key"), "id"),
        (("streams", 0, "paging", "limit"), 0),
        (("streams", 0, "contract"), 5),
        (("streams", 0, "contract", "columns", "id", "nullable"), "no"),
        (("streams", 0, "contract", "columns", "id", "type"), "strng"),
        (("streams", 0, "cursor", "lookback"), []),
    ],
)
def test_the_schema_and_the_loader_agree_where_a_mistake_is(where: tuple[str | int, ...], value: object) -> None:
    """`dg check yaml` and the loader point at the same setting."""
    values = json.loads(json.dumps(MINIMAL))
    stream = values["streams"][0]
    stream |= {"paging": {"kind": "offset"}, "cursor": {"field": "id", "kind": "integer"}}
    values |= {"auth": {"kind": "none"}, "limits": {}}
    inner = values
    for part in where[:-1]:
        inner = inner[part]
    inner[where[-1]] = value
    (error,) = VALIDATOR.iter_errors(values)
    assert tuple(error.absolute_path) == where
    with pytest.raises(SpecError) as told:
        resolve(values, Lines("defs.yaml"))
    assert str(told.value.field).startswith(dotted_path(where))
