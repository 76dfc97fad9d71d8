"""What the stores' compose files promise, read from the files themselves."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from compose.stack.preflight.documents import read
from compose.stack.roles import role_of
from compose.stack.round_trips import trip_of
from compose.stack.service import parse_stack
from tasks.stacks import own_project, own_recipes, own_stacks

COMPOSE = Path(__file__).resolve().parents[2] / "compose"
TEXT = (COMPOSE / "docker-compose.stores.yml").read_text(encoding="utf-8")
STORES: dict[str, Any] = yaml.safe_load(TEXT.replace("!override ", ""))
LIGHT = yaml.safe_load((COMPOSE / "docker-compose.tinyllama.yml").read_text(encoding="utf-8"))
OFFLINE = yaml.safe_load((COMPOSE / "docker-compose.stores.offline.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = STORES["services"]
REGISTRY_ONLY = {"qdrant", "grafana"}
EVERY = pytest.mark.parametrize("name", sorted(SERVICES))
VOLUMES = {
    "postgres_data", "redis_data", "neo4j_data", "chromadb_data", "qdrant_data", "faiss_data", "ollama_data",
    "models_data", "prometheus_data", "grafana_data", "loki_data", "agent_workspaces", "agent_outputs",
}  # fmt: skip


def default(value: str) -> str:
    """A value with every variable at its default."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


@EVERY
def test_every_service_is_locked_down(name: str) -> None:
    """Not root, read-only, no capability, no new privileges, bounded logs, an exact version."""
    service = SERVICES[name]
    assert service["user"].split(":")[0] not in ("0", "root")
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}
    assert re.fullmatch(r"[a-z0-9/-]+:v?\d[\w.-]*", service["image"])


@EVERY
def test_every_service_is_checked_and_proven(name: str) -> None:
    """Quickly while it starts; with a working check that is understood; no check has a password in its words."""
    service = SERVICES[name]
    check = service["healthcheck"]
    assert check["start_interval"] == "1s"
    assert check["start_period"]
    told = {key: service[key] for key in ("image", "x-ops")}
    stack = parse_stack({"name": "t", "services": {name: told}})
    assert trip_of(stack, name) is not None
    assert role_of(stack[name])
    assert {"phase", "tier"} <= set(service["x-ops"])
    words = str(check["test"]) + str(service["x-ops"]["verify"])
    assert "${" not in words.replace("$${", "")


def test_only_grafana_may_be_published_beyond_the_loopback() -> None:
    """It asks for a login; the others do not, or are databases."""
    for name, service in SERVICES.items():
        for port in service.get("ports", ()):
            assert port.startswith("${OPS_BIND:-127.0.0.1}:${" if name == "grafana" else "127.0.0.1:${")


def test_the_limits_fit_beside_the_light_stack() -> None:
    """2 CPUs and 2 GB without profiles; what is reserved fits with every profile."""
    resources = {name: service["deploy"]["resources"] for name, service in SERVICES.items()}
    plain = [each for name, each in resources.items() if "profiles" not in SERVICES[name]]
    assert all(float(default(each["limits"]["cpus"])) <= 2 for each in resources.values())
    assert sum(float(default(each["reservations"]["cpus"])) for each in resources.values()) <= 2
    assert sum(int(default(each["limits"]["memory"]).rstrip("M")) for each in plain) <= 2048


def test_no_secret_has_a_default() -> None:
    """Every secret that the stack generates is required wherever it is used, and used somewhere."""
    for name in STORES["x-ops"]["generated_secrets"]:
        uses = set(re.findall(r"(?<!\$)\$\{" + name + r"[^}]*\}", TEXT))
        assert uses == {f"${{{name}:?set by ./ops up}}"}


def test_every_volume_of_the_document_exists() -> None:
    """In the light file or here, each used by exactly one service of its file."""
    assert set(LIGHT["volumes"]) | set(STORES["volumes"]) == VOLUMES
    used = [mount.split(":")[0] for service in SERVICES.values() for mount in service.get("volumes", ())]
    assert sorted(used) == sorted(STORES["volumes"])


def test_what_no_registry_gives_is_built_or_waits_behind_a_profile() -> None:
    """A deployment without profiles needs no registry, and none builds Loki unasked."""
    for name, service in SERVICES.items():
        if name in REGISTRY_ONLY:
            assert service["profiles"] == [name]
        elif "build" not in service:
            assert OFFLINE["services"][name]["build"]["secrets"] == ["ca"]
            assert OFFLINE["services"][name].get("profiles") == service.get("profiles")
    assert SERVICES["loki"]["profiles"] == ["loki"]
    assert set(OFFLINE["services"]) == set(SERVICES) - REGISTRY_ONLY


def test_it_lies_beside_the_light_stack_and_over_it() -> None:
    """Another project, subnet and ports; laid over the light file its subnet replaces the other, which is one."""
    assert STORES["name"] == "${OPS_STORES_PROJECT:-sutazai-stores}"
    (document,) = read("stores", TEXT)
    assert document.tags == {("networks", "sutazai-network", "ipam", "config"): "!override"}
    assert set(SERVICES).isdisjoint(LIGHT["services"])
    ports = re.findall(r"_PORT:-(\d+)\}", TEXT + (COMPOSE / "docker-compose.tinyllama.yml").read_text())
    assert len(ports) == len(set(ports))


def test_each_of_our_stacks_has_its_project_and_recipes() -> None:
    """The settings name two projects; a stack without a setting of its own has the first."""
    settings = {"OPS_PROJECT": "a", "OPS_STORES_PROJECT": "b"}
    assert {"light", "stores"} <= set(own_stacks())
    assert [own_project(name, settings) for name in ("light", "stores", "full")] == ["a", "b", "a"]
    assert own_recipes("light").name == "docker-compose.offline.yml"
    assert own_recipes("stores").name == "docker-compose.stores.offline.yml"


def test_configurations_that_are_mounted_are_there_and_keep_to_themselves() -> None:
    """Every file exists; Loki and Prometheus forget, and neither Neo4j nor Loki nor Grafana reports home."""
    for body in STORES["configs"].values():
        assert (COMPOSE / body["file"]).is_file()
    loki = yaml.safe_load((COMPOSE / "config/loki/loki.yml").read_text())
    assert loki["compactor"]["retention_enabled"]
    assert loki["limits_config"]["retention_period"] == "${LOKI_RETENTION}"
    assert loki["analytics"] == {"reporting_enabled": False}
    assert "dbms.usage_report.enabled=false" in (COMPOSE / "config/neo4j/neo4j.conf").read_text()
    assert any("retention.size" in word for word in SERVICES["prometheus"]["command"])
    assert SERVICES["grafana"]["environment"]["GF_ANALYTICS_REPORTING_ENABLED"] == "false"
