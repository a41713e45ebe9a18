"""The compose file and the image for people with Docker: valid, local, and in agreement with themselves."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import deploy
from deploy.stack.apache import kafka_version
from deploy.stack.containers import IMAGES
from streams.settings import Settings

FOLDER = Path(deploy.__file__).parent
ROOT = FOLDER.parent
PUBLISHED = re.compile(r"127\.0\.0\.1:\d+:\d+")
WORKERS = ("decide", "record", "notify")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    text = (FOLDER / "compose.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text))


def have_compose() -> bool:
    docker = shutil.which("docker")
    if docker is None:
        return False
    return subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not have_compose(), reason="docker has no compose plugin here: install docker-compose-plugin")
def test_docker_compose_accepts_the_file(tmp_path: Path) -> None:
    secret = tmp_path / "master.secret"
    secret.write_text("00" * 32)
    environment = {"DATABASE_PASSWORD": "x", "DOORSTREAM_MASTER_SECRET_FILE": str(secret), "PATH": "/usr/bin:/bin"}
    arguments = ["docker", "compose", "-f", str(FOLDER / "compose.yaml"), "config", "-q"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr


def test_every_port_is_published_on_this_machine_alone(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert len(ports) == 6
    assert [port for port in ports if not PUBLISHED.fullmatch(port)] == []


def test_every_lasting_service_has_a_health_check_and_others_wait_for_it(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert [name for name, service in services.items() if "healthcheck" not in service] == ["prepare"]
    waits = services["prepare"]["depends_on"]
    assert waits == {name: {"condition": "service_healthy"} for name in ("kafka", "postgres", "clickhouse")}
    for worker in WORKERS:
        assert services[worker]["depends_on"] == {"prepare": {"condition": "service_completed_successfully"}}
        assert services[worker]["command"] == ["worker", worker]


def test_data_lives_in_named_volumes_that_are_declared(compose: dict[str, Any]) -> None:
    used = {
        volume.partition(":")[0] for service in compose["services"].values() for volume in service.get("volumes", [])
    }
    assert used == set(compose["volumes"]) == {"kafka", "postgres", "clickhouse"}


def test_the_master_secret_comes_as_a_secret_to_where_the_setting_points(compose: dict[str, Any]) -> None:
    assert set(compose["secrets"]) == {"master"}
    for name in ("prepare", *WORKERS):
        service = compose["services"][name]
        assert service["secrets"] == ["master"]
        assert service["environment"]["DOORSTREAM_MASTER_SECRET_FILE"] == "/run/secrets/master"


def test_only_settings_that_exist_are_set(compose: dict[str, Any]) -> None:
    known = {f"DOORSTREAM_{name.upper()}" for name in Settings.model_fields}
    for name in ("prepare", *WORKERS):
        assert set(compose["services"][name]["environment"]) <= known


def test_every_password_is_the_one_of_the_environment() -> None:
    text = (FOLDER / "compose.yaml").read_text(encoding="utf-8").partition("\nname:")[2]
    values = re.findall(r"PASSWORD: (\S+)|://\w+:(\S+)@\w+:", text)
    assert len(values) == 4
    assert all("".join(value).startswith("${DATABASE_PASSWORD:") for value in values)


def test_the_images_are_those_of_the_tests(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert {part: services[part]["image"] for part in IMAGES} == IMAGES
    assert services["kafka"]["image"] == f"apache/kafka:{kafka_version()}"


def test_the_image_copies_all_that_is_installed_and_runs_as_nobody_special() -> None:
    lines = (FOLDER / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = {
        word for line in lines if line.startswith("COPY ") and "--from" not in line for word in line.split()[1:-1]
    }
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"][
        "wheel"
    ]
    assert {*wheel["packages"], *wheel["force-include"], "pyproject.toml"} <= copied
    assert [path for path in copied if not (ROOT / path).exists()] == []
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users
    assert users[-1] not in ("root", "0")
    assert len([line for line in lines if line.startswith("FROM ")]) == 2
