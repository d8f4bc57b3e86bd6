"""YAML becomes the same spec as Python, and says of every mistake on which line it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from integration_assets.components.load import load
from integration_assets.errors import SpecError
from integration_assets_tests.components.writing import MINIMAL, write, written

HEAD = """\
type: integration_assets.ApiSource
attributes:
  name: helpdesk
  base_url: https://helpdesk.example/api
  streams:
    - name: tickets
      path: /tickets
"""
WEEKLY = """\
      key: [id]
      cursor: {field: at, start_param: since}
      partitions:
        start: 2024-01-02
        every: week
"""
CONTRACT = "      contract: helpdesk.contracts:Ticket\n"


def refused(folder: Path, text: str) -> SpecError:
    """The error with which a file is refused."""
    with pytest.raises(SpecError) as error:
        load(write(folder / "helpdesk", text), environ={})
    return error.value


def test_the_least_that_makes_a_source(tmp_path: Path) -> None:
    """Name, address and one stream with a contract are enough; everything else has the spec's own default."""
    source = load(written(tmp_path / "helpdesk", MINIMAL))
    (tickets,) = source.streams
    assert (source.name, source.schedule, tickets.disposition, tickets.key) == ("helpdesk", "0 2 * * *", "merge", ("id",))


@pytest.mark.parametrize(
    ("stream", "line", "said"),
    [
        ("      key: [id]\n      disposition: upsert\n", 10, "got 'upsert'"),
        ("      key: id\n", 9, "key): this must be a list, got 'id'"),
        ("      key: [id]\n      keyy: [id]\n", 10, "there is no setting 'keyy'"),
        ("      key: [id]\n      cursor: {field: at,\n        lookbak: PT1H}\n", 11, "Did you mean lookback?"),
        ("      key: [id]\n      paging:\n        kind: ofset\n", 11, "there is no kind 'ofset'"),
        ("      key: [id]\n      paging:\n        limit: 5\n", 10, "kind is missing"),
        ("      key: [id]\n      paging:\n        kind: offset\n        limt: 5\n", 12, "Did you mean limit?"),
        ("      key: [id]\n      cursor:\n        field: at\n        start: soon\n", 12, "this must be a time"),
        ("      key: [id]\n      cursor:\n        field: at\n        lookback: often\n", 12, "this must be a duration"),
        ("      key: [id]\n      cursor:\n        start: 5\n", 10, "field is missing"),
        ("      key: [id]\n      reject_threshold: 5\n", 10, "less than or equal to 1, got 5"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, stream: str, line: int, said: str) -> None:
    """A wrong name, type or choice names file, line and what there is instead."""
    error = refused(tmp_path, HEAD + CONTRACT + stream)
    assert f"helpdesk/defs.yaml:{line}" in str(error)
    assert said in str(error)
    assert str(error).startswith("helpdesk (")


@pytest.mark.parametrize(
    ("stream", "line", "said"),
    [
        ("      description: No key.\n", 6, "merge needs a key"),
        ("      key: [id]\n      cursor:\n        field: at\n        start: 2024-01-01T00:00:00\n", 12, "time zone"),
        ("      key: [id]\n      cursor:\n        field: at\n        lookback: 5\n", 12, "lookback must be a timedelta"),
        (
            "      key: [id]\n      cursor:\n        field: at\n      partitions: {start: 2024-01-01}\n",
            10,
            "filters by the cursor",
        ),
        (
            WEEKLY,
            12,
            "not the first day of a week",
        ),
    ],
)
def test_the_spec_s_own_rules_point_at_the_line(tmp_path: Path, stream: str, line: int, said: str) -> None:
    """What depends on several settings is refused where it is written, or at the nearest line around it."""
    error = refused(tmp_path, HEAD + CONTRACT + stream)
    assert f"helpdesk/defs.yaml:{line}" in str(error)
    assert said in str(error)


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    """Three mistakes are three lines."""
    error = refused(tmp_path, HEAD + "      contract: 5\n      key: id\n      nothing: 1\n")
    places = [line.split(": ")[0].strip() for line in str(error).splitlines()[1:]]
    assert [place.rpartition(":")[2] for place in places] == ["8", "9", "10"]


def test_a_contract_in_the_file_is_checked_with_it(tmp_path: Path) -> None:
    """A column's wrong type, a misspelt setting and a key that is no column are found without pandera."""
    columns = "      contract:\n        columns:\n          id: {type: %s}\n      key: [%s]\n"
    assert "defs.yaml:10" in str(refused(tmp_path, HEAD + columns % ("integer", "id")))
    error = refused(tmp_path, HEAD + columns % ("int64", "idd"))
    assert "defs.yaml:11" in str(error)
    assert "'idd' is no column of the contract" in str(error)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("attributes: {}\n", 1, "the type is not integration_assets.ApiSource"),
        ("type: dagster.DefsFolderComponent\n", 1, "the type is not"),
        ("type: integration_assets.ApiSource\npost_processing: {}\n", 2, "no meaning here"),
        ("type: integration_assets.ApiSource\n", 1, "3 mistakes"),
        ("", 1, "a source begins with type"),
        ("a: [\n", 2, "Mend the YAML"),
        (HEAD + "  name: again\n", 8, "'name' is there twice"),
        (HEAD + "  1: one\n", 8, "a key is no text"),
        (HEAD + "  owners: !!binary aGk=\n", 8, "not a value that a spec can hold"),
        ("a: &a\n  b: *a\n", 2, "not a value that a spec can hold"),
        (HEAD + "---\na: 1\n", 8, "Mend the YAML"),
    ],
)
def test_what_is_no_source_is_refused_with_its_line(tmp_path: Path, text: str, line: int, said: str) -> None:
    """Broken YAML, keys that are there twice, values without meaning and loops are errors, not surprises."""
    error = refused(tmp_path, text)
    assert f"defs.yaml:{line}" in str(error)
    assert said in str(error)


def test_environment_variables_fill_in_text(tmp_path: Path) -> None:
    """`{{ env.X }}` and `{{ env('X', 'default') }}` are replaced inside any text, as in Dagster's own component files."""
    values = MINIMAL | {
        "base_url": "https://{{ env.REGION }}.example/{{ env('VERSION', 'v1') }}",
        "description": "{{env.REGION}}",
    }
    source = load(written(tmp_path / "helpdesk", values), environ={"REGION": "eu"})
    assert (source.base_url, source.description) == ("https://eu.example/v1", "eu")


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ env.REGION }}", "REGION is not set"),
        ("{{ context.project_root }}", "is no template"),
        ("{{ env.HELPDESK_TOKEN }}", "seems to be a secret"),
        ("{{ env('API_KEY', '') }}", "seems to be a secret"),
    ],
)
def test_a_template_that_cannot_be_filled_in_is_told_of(tmp_path: Path, template: str, said: str) -> None:
    """An unset variable, an unknown template and a secret by its name are refused with the line."""
    error = refused(tmp_path, HEAD.replace("helpdesk.example", template) + CONTRACT)
    assert "defs.yaml:4" in str(error)
    assert said in str(error)


SECRET = "hunter2-Zq81xVt"


@pytest.mark.parametrize(
    "added",
    [
        f"  auth: {{kind: bearer, secret: {SECRET}}}\n",
        f"  auth: {{kind: basic, username_secret: USER, password_secret: {SECRET}}}\n",
        f"  auth: {SECRET}\n",
        f"  headers: {{Authorization: Bearer {SECRET}}}\n",
        f"  headers: {{X-Api-Key: {SECRET}}}\n",
        f"  headers: {{X-Custom: Token {SECRET}}}\n",
        f"  streams: [{{params: {{access_token: {SECRET}}}}}]\n",
        f"  streams: [{{body: {{variables: {{api_key: {SECRET}}}}}}}]\n",
        f"  docs_url: https://me:{SECRET}@helpdesk.example\n",
        f"  description: sk_live_{SECRET.replace('-', '')}abcdef\n",
        f"  description: ghp_{SECRET.replace('-', '') * 3}\n",
        "  auth: {kind: bearer, secret: AKIAIOSFODNN7EXAMPLE}\n",
    ],
)
def test_a_secret_itself_is_refused_and_not_repeated(tmp_path: Path, added: str) -> None:
    """A key, token or password written where its name belongs, or sent as a header, is an error that does not show it."""
    head = HEAD if "streams" not in added else HEAD[: HEAD.index("  streams:")]
    place = len(HEAD[: HEAD.index("  streams:")].splitlines()) + 1
    text = head.replace("  streams:", f"{added}  streams:") + CONTRACT if "streams" not in added else head + added
    error = refused(tmp_path, text)
    assert f"defs.yaml:{place}" in str(error)
    assert SECRET not in str(error)
    assert "hunter2" not in repr(error)
    assert "AKIA" not in str(error)


@pytest.mark.parametrize(
    "params",
    [{"sort_key": "name", "page": 1, "include": "secretary"}, {"id": "1BxiMVs0XRA5nFMdKvBdBZjgmUUqptlbs74OgvE2upms"}],
)
def test_what_only_resembles_a_secret_is_taken(tmp_path: Path, params: dict[str, object]) -> None:
    """Sort keys, long ids and words that begin like a secret are ordinary parameters."""
    (stream,) = MINIMAL["streams"]
    source = load(written(tmp_path / "helpdesk", MINIMAL | {"streams": [stream | {"params": params}]}))
    assert dict(source.streams[0].params) == params
