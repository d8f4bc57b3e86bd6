"""docs/events.md: its commands are ones that there are, and its overlay comes out whole."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from integration_assets.inbox.drain import STUCK
from integration_assets.orchestrate.sensors.inbox import INTERVAL
from integration_assets.spec import events
from integration_assets_tests.deploy.reading import ROOT, commands, leaves, parse

PAGE = ROOT / "docs" / "events.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_its_commands_parse() -> None:
    """Each command of the project's own program is one, with options that exist."""
    found = list(commands(PAGE))
    assert {argv[2] for argv in found} == {"serve", "consume", "status", "dismiss"}
    for argv in found:
        parse(argv)


@pytest.mark.parametrize("name", ["GitHub", "Shopify", "Stripe", "Slack", "StandardWebhooks", "Hmac"])
def test_every_scheme_is_in_the_table(name: str) -> None:
    """What can be declared is what the page lists."""
    assert f"| `{name}` |" in TEXT
    assert hasattr(events, name)


def test_its_numbers_are_the_code_s() -> None:
    """Every so many seconds, after so many runs."""
    assert (INTERVAL, STUCK) == (10, 5)
    assert "every ten seconds" in TEXT
    assert "After five runs in vain" in TEXT


def test_the_overlay_that_it_fills_in_is_whole(tmp_path: Path) -> None:
    """The page's `sed` leaves nothing to fill in."""
    (line,) = re.findall(r"^sed .*$", TEXT, re.MULTILINE)
    filled = {"IMAGE": "registry.example/integration-assets", "TAG": "12345e6", "POSTGRES": "10.1.2.3"}
    subprocess.run(  # noqa: S602 - the page's own words
        line.replace("deploy/", f"{ROOT}/deploy/"),
        shell=True,
        check=True,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], **filled},
    )
    deployment, _, _ = yaml.safe_load_all((tmp_path / "inbox.yaml").read_text(encoding="utf-8"))
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.example/integration-assets:12345e6"
    assert not [path for path, value in leaves(deployment) if re.search(r"IMAGE|TAG|POSTGRES", str(value))]
