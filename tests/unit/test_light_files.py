"""What the light stack's compose files promise, read from the files themselves."""

from __future__ import annotations

import hashlib
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml

COMPOSE = Path(__file__).resolve().parents[2] / "compose"
LIGHT = yaml.safe_load((COMPOSE / "docker-compose.tinyllama.yml").read_text())
OFFLINE = yaml.safe_load((COMPOSE / "docker-compose.offline.yml").read_text())
MODELS = yaml.safe_load((COMPOSE / "models.yaml").read_text())["models"]
SERVICES: dict[str, dict[str, Any]] = {
    **LIGHT["services"],
    "model-registry": OFFLINE["services"]["model-registry"],
}
EVERY = pytest.mark.parametrize("name", sorted(SERVICES))


def default(value: str) -> str:
    """A value with every variable at its default."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


@EVERY
def test_every_service_is_locked_down(name: str) -> None:
    """Not root, read-only, no capability, no new privileges, bounded logs."""
    service = SERVICES[name]
    assert service["user"].split(":")[0] not in ("0", "root")
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}


@EVERY
def test_every_service_is_checked_quickly_while_it_starts(name: str) -> None:
    """A one-shot has no health check; all others have one that looks each second at first."""
    check = SERVICES[name]["healthcheck"]
    if name == "init-tinyllama":
        assert check == {"disable": True}
        return
    assert check["start_interval"] == "1s"
    assert check["start_period"]
    assert not re.search(r"PASSWORD|AUTH|TOKEN", str(check["test"]))


def test_databases_are_published_on_the_loopback_only() -> None:
    """Whatever OPS_BIND says."""
    for name in ("postgres", "redis", "chromadb", "ollama"):
        (port,) = SERVICES[name]["ports"]
        assert port.startswith("127.0.0.1:${")
    for name in ("backend-agi", "frontend-agi", "task-coordinator", "nginx"):
        (port,) = SERVICES[name]["ports"]
        assert port.startswith("${OPS_BIND:-127.0.0.1}:${")


def test_the_limits_fit_a_small_machine() -> None:
    """2 CPUs and 4 GB, the registry of the offline overlay included."""
    resources = [service["deploy"]["resources"] for service in SERVICES.values()]
    assert all(float(default(each["limits"]["cpus"])) <= 2 for each in resources)
    assert sum(float(default(each["reservations"]["cpus"])) for each in resources) <= 2
    assert sum(int(default(each["limits"]["memory"]).rstrip("M")) for each in resources) <= 4096


def test_redis_has_room_above_its_data() -> None:
    """The limit of its data is below the limit of its container."""
    redis = SERVICES["redis"]
    data = int(default(redis["environment"]["REDIS_MAXMEMORY"]).rstrip("mb"))
    assert data <= int(default(redis["deploy"]["resources"]["limits"]["memory"]).rstrip("M")) / 2


def test_no_secret_has_a_default() -> None:
    """Every secret that the stack generates is required wherever it is used, and used somewhere."""
    text = (COMPOSE / "docker-compose.tinyllama.yml").read_text()
    for name in LIGHT["x-ops"]["generated_secrets"]:
        uses = re.findall(r"\$\{" + name + r"[^}]*\}", text)
        assert uses
        assert set(uses) == {f"${{{name}:?set by ./ops up}}"}


def test_every_image_is_pinned() -> None:
    """An exact version, never `latest`."""
    for name, service in {**LIGHT["services"], **OFFLINE["services"]}.items():
        image = service.get("image", "x:1")
        assert re.fullmatch(r"[a-z/-]+:v?\d[\w.-]*", image), name


def test_the_overlay_builds_every_image_that_would_be_pulled() -> None:
    """With the CA as a build secret and never as part of an image."""
    pulled = [name for name, service in LIGHT["services"].items() if "build" not in service]
    for name in pulled:
        assert OFFLINE["services"][name]["build"]["secrets"] == ["ca"]
    for recipe in COMPOSE.glob("images/*/Dockerfile"):
        text = recipe.read_text()
        assert not text.startswith("# syntax")
        assert "ARG BASE=sutazai/base:bookworm" in text


def test_the_demonstration_model_is_the_one_in_the_catalogue() -> None:
    """The recipe makes the same bytes here as in its image, and the catalogue names them."""
    recipe = runpy.run_path(str(COMPOSE / "images" / "model-registry" / "make_model.py"))
    manifest, blobs = recipe["files"]()
    (known,) = (model for model in MODELS if model["demonstration"])
    assert known["digest"] == "sha256:" + hashlib.sha256(manifest).hexdigest()
    assert known["size"] == sum(map(len, blobs))
    assert known["name"] in OFFLINE["services"]["backend-agi"]["environment"]["MODEL_PREFERENCE"]
    assert known["name"] == OFFLINE["services"]["init-tinyllama"]["environment"]["FALLBACK_MODEL"]
