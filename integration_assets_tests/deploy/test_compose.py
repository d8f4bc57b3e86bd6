"""deploy/compose.yaml.

Proven: the essentials of the compose specification, that every command is one of the image's with options that exist, and who
gets which secret. Not proven: that an engine brings it up; there is none here.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from integration_assets.settings import TABLE
from integration_assets_tests.deploy.reading import DEPLOY, ROOT, SECRET_NAME, leaves, load, parse

KEYS = {
    *(
        "image",
        "build",
        "command",
        "depends_on",
        "environment",
        "env_file",
        "healthcheck",
        "init",
        "mem_limit",
        "networks",
        "ports",
    ),
    *("cap_drop", "profiles", "read_only", "restart", "security_opt", "shm_size", "stop_grace_period", "tmpfs", "user"),
    "volumes",
}
"""The keys of a service that the file may use, each of the compose specification."""

COMPOSE: dict[str, Any] = load("compose.yaml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name in SERVICES if name != "postgres"]
DAGSTER = [name for name in OURS if name != "inbox"]


def test_services_are_of_the_specification() -> None:
    """Top-level keys, service keys, conditions and durations are ones that compose knows."""
    assert set(COMPOSE) <= {"name", "services", "networks", "volumes", "x-dagster"}
    for name, service in SERVICES.items():
        assert set(service) <= KEYS, name
        assert set(service["healthcheck"]) <= {"test", "interval", "timeout", "retries", "start_period"}
        for key in ("interval", "timeout", "start_period"):
            assert re.fullmatch(r"\d+[sm]", service["healthcheck"][key])


def test_what_services_refer_to_exists() -> None:
    """Dependencies are services with a health check; networks and volumes are declared; files that are mounted are there."""
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}, name
            assert "healthcheck" in SERVICES[other]
        assert set(service["networks"]) <= set(COMPOSE["networks"])
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in COMPOSE["volumes"], volume
        for file in service["env_file"]:
            assert (DEPLOY / f"{file}.example").exists()


@pytest.mark.parametrize("name", OURS)
def test_every_command_is_one_of_the_image_s(name: str) -> None:
    """Commands and health checks parse with their own programs, and a service's first words stand in the Dockerfile."""
    service = SERVICES[name]
    parse(service["command"])
    if name not in DAGSTER:
        return  # any command of the project's command line
    assert " ".join(service["command"][:2]).split(" --")[0] in re.sub(r'[",\[\]]+ ?', " ", _dockerfile()).replace("  ", " ")
    check = service["healthcheck"]["test"]
    assert check[0] == "CMD"
    if check[1] == "python":
        compile(check[3], "healthcheck", "exec")
    else:
        parse(check[1:])


def test_one_image_and_one_daemon() -> None:
    """All of our services are the same image, and exactly one of them is the daemon, of which nobody asks for two."""
    assert len({SERVICES[name]["image"] for name in OURS}) == 1
    daemons = [name for name in OURS if SERVICES[name]["command"][0] == "dagster-daemon"]
    assert daemons == ["daemon"]
    assert "deploy" not in SERVICES["daemon"]
    assert "scale" not in SERVICES["daemon"]


def test_nothing_runs_as_root_or_writes_its_image() -> None:
    """Every service has a user, a read-only root and no capability; ours is the image's own user."""
    user = re.search(r"--uid (\d+)", _dockerfile())
    assert user is not None
    for name, service in SERVICES.items():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["user"].startswith(user[1] if name in OURS else "postgres")


def test_secrets_come_from_files_that_are_not_here() -> None:
    """No secret stands in the file or its examples, git ignores the real ones, and only the code server gets the sources'."""
    for path, value in leaves(COMPOSE):
        assert not (SECRET_NAME.search(path[-1]) and value), path
    for example in DEPLOY.glob("*.env.example"):
        for line in example.read_text(encoding="utf-8").splitlines():
            variable, found, value = line.partition("=")
            assert line.startswith("#") or not (found and value and SECRET_NAME.search(variable)), line
    assert "*.env" in (DEPLOY / ".gitignore").read_text(encoding="utf-8").split()
    assert [name for name, service in SERVICES.items() if "runner.env" in service["env_file"]] == ["code"]


def test_only_webserver_and_receiver_are_reachable_and_only_from_the_machine() -> None:
    """The webserver asks nobody who they are and the receiver speaks no TLS, so both are bound to loopback; nothing else is."""
    open_ = {name: service["ports"] for name, service in SERVICES.items() if service.get("ports")}
    assert list(open_) == ["webserver", "inbox"]
    assert all(port.startswith("127.0.0.1:") for ports in open_.values() for port in ports)


def test_the_receiver_fills_the_inbox_that_the_sensors_drain_and_reaches_nothing_else() -> None:
    """It shares one volume with the code server, at the setting's default, and has neither Postgres nor a source's key."""
    receiver, code = SERVICES["inbox"], SERVICES["code"]
    assert receiver["profiles"] == ["events"]
    assert receiver["volumes"] == ["inbox:/app/data"]
    assert "inbox:/app/data" in code["volumes"]
    default = next(value for name, value, _ in TABLE if name == "INTEGRATION_INBOX_URI")
    assert default.startswith("data/")
    for service in (receiver, code):
        assert "/app/data" not in service["tmpfs"]
        assert "INTEGRATION_INBOX_URI" not in service["environment"]
    assert receiver["networks"] == ["outside"]
    assert receiver["env_file"] == ["receiver.env"]


def test_the_environment_is_what_the_instance_asks_for() -> None:
    """Every variable that deploy/dagster.yaml reads is set for every Dagster process, by the file or by an example."""
    wanted = {value for path, value in leaves(load("dagster.yaml")) if path[-1] == "env"}
    for name in DAGSTER:
        given = set(SERVICES[name]["environment"])
        for file in SERVICES[name]["env_file"]:
            given |= set(re.findall(r"^(\w+)=", (DEPLOY / f"{file}.example").read_text(encoding="utf-8"), re.MULTILINE))
        assert wanted <= given, name


def test_the_workspace_names_the_location_as_everywhere() -> None:
    """Runs and schedules are remembered by the location's name: the embedded default's, at the code server's address."""
    embedded = yaml.safe_load((ROOT / "workspace.yaml").read_text(encoding="utf-8"))["load_from"][0]["python_module"]
    (location,) = load("workspace.yaml")["load_from"]
    assert location["grpc_server"]["location_name"] == embedded["location_name"]
    assert location["grpc_server"]["host"] in SERVICES
    assert str(location["grpc_server"]["port"]) == str(parse(SERVICES["code"]["command"])["port"])


def _dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text(encoding="utf-8")
