"""`integration_assets.ApiSource`: a source as a Dagster component, for `defs.yaml` files and the `dg` command line.

It is the same path as the bundled sources': the attributes become a `Source`, and `build` makes the definitions of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import dagster as dg
from dagster_shared.yaml_utils.source_position import SourcePositionTree
from pydantic import BaseModel, Field, GetJsonSchemaHandler, RootModel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from integration_assets.components.document import Lines, Where
from integration_assets.components.resolve import resolve
from integration_assets.components.shape import shape
from integration_assets.components.template import template
from integration_assets.orchestrate.build import build
from integration_assets.spec.source import Source

_SHARED: dict[str, object] = {}
"""The resources that components bring, one each a process: Dagster merges them only if they are the same object."""


class Attributes(RootModel[Any]):
    """What a `defs.yaml` says under `attributes`: a source, as `integration_assets.spec.Source` describes it.

    Dagster takes anything here; `resolve` tells of mistakes, in the same words for Dagster and for `integration`.
    """

    @classmethod
    def __get_pydantic_json_schema__(cls, _: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The source's schema, for editors and `dg check yaml`."""
        model = shape(Source)
        return dict(handler.resolve_ref_schema(model.__get_pydantic_json_schema__(model.__pydantic_core_schema__, handler)))


class ScaffoldParams(BaseModel):
    """What a new source begins with."""

    base_url: str = Field(default="https://api.example.com", description="The API's address.")
    stream: str = Field(default="records", description="The first stream's name.")


class ApiSourceScaffolder(dg.Scaffolder[ScaffoldParams]):
    """Writes a `defs.yaml` that loads as it is, to be filled in."""

    @classmethod
    def get_scaffold_params(cls) -> type[ScaffoldParams]:
        """The options of `dg scaffold defs`."""
        return ScaffoldParams

    def scaffold(self, request: dg.ScaffoldRequest[ScaffoldParams]) -> None:
        """Write `defs.yaml`, or `component.py` with `--format python`."""
        if request.scaffold_format == "python":
            dg.scaffold_component(request)
            return
        text = template(request.target_path.stem, request.params.base_url, request.params.stream)
        if request.append:
            with request.target_path.open("a", encoding="utf-8") as file:
                file.write(f"---\n{text}")
        else:
            (request.target_path / "defs.yaml").write_text(text, encoding="utf-8")


@dg.scaffold_with(ApiSourceScaffolder)
class ApiSource(dg.Component):
    """An API, as tables that can be trusted.

    Names where the API is, how it is asked, and its streams with their keys, cursors and contracts. From that come, for each
    stream, the asset of its lake table and that of its warehouse table with their checks, and for the source a job and a nightly
    schedule. Secrets are named and looked up when data flows; one that is written in the file is refused.

    In Python: `ApiSource(Source(…))` with the classes of `integration_assets.spec`.
    """

    def __init__(self, source: Source) -> None:
        self.source = source

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """What the YAML may hold."""
        return Attributes

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        """What `dg list components` shows."""
        return dg.ComponentTypeSpec(
            tags=["api", "ingestion", "deltalake", "bigquery", "duckdb"],
            produces=["asset", "asset_check", "job", "schedule", "sensor", "resource"],
        )

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """The component of a file's attributes. Raises `SpecError` with the line of every mistake."""
        found = attributes.root if isinstance(attributes, Attributes) else None
        return cls(resolve(found, _lines(context)))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002 - Dagster's interface
        """The source's definitions, without an executor: that is the project's to choose."""
        made = build([self.source])
        return dg.Definitions(
            assets=made.assets,
            asset_checks=made.asset_checks,
            jobs=made.jobs,
            schedules=made.schedules,
            sensors=made.sensors,
            resources={name: _SHARED.setdefault(name, resource) for name, resource in (made.resources or {}).items()},
        )


def _lines(context: dg.ComponentLoadContext) -> Lines:
    """The lines that Dagster found when it read the file."""
    tree = context.resolution_context.source_position_tree
    if tree is None:
        return Lines("attributes")
    file = Path(tree.position.filename)
    root = context.project_root
    shown = file.relative_to(root) if file.is_relative_to(root) else file
    return Lines(str(shown), dict(_walk(tree, ())), ("attributes",))


def _walk(tree: SourcePositionTree, where: Where) -> Iterator[tuple[Where, int]]:
    yield where, tree.position.start.line
    for part, inner in tree.children.items():
        yield from _walk(inner, (*where, part))
