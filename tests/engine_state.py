"""What the engine holds of a compose project, in a form in which two deployments can be compared."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PROJECT = "com.docker.compose.project"
HASH = "com.docker.compose.config-hash"
DEPENDS = "com.docker.compose.depends_on"
_ANONYMOUS = re.compile(r"[0-9a-f]{64}")
_RANDOM_HOST = {"ContainerIDFile"}
_CHOSEN_SUBNETS = "10."
"""Subnets of this range are written in our test projects; any other was chosen by the engine."""

TAGGED = "{{.Repository}}:{{.Tag}}"
Json = dict[str, Any]


def docker(*words: str) -> str:
    """Output of one docker command that has to succeed."""
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"docker {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def inspect(kind: str, names: Iterable[str]) -> list[Json]:
    """What the engine says of some objects; those that vanished meanwhile are left out."""
    words = ["docker", kind, "inspect", *names]
    if len(words) == 3:
        return []
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return list(json.loads(done.stdout or "[]"))


def _listed(kind: str, project: str) -> list[str]:
    everything = ("-a",) if kind == "container" else ()
    return docker(kind, "ls", *everything, "-q", "--filter", f"label={PROJECT}={project}").split()


def containers(project: str) -> list[Json]:
    """All containers of a project, stopped ones too."""
    return inspect("container", _listed("container", project))


@dataclass(frozen=True)
class Identity:
    """Which container it is, and since when it runs.

    Args:
        started: Moment of its last start; empty for one that does not run (Compose runs those again).
    """

    id: str
    started: str = ""


def identities(project: str) -> dict[str, Identity]:
    """Every container of a project by name."""
    return {
        one["Name"].lstrip("/"): Identity(one["Id"], one["State"]["StartedAt"] if one["State"]["Running"] else "")
        for one in containers(project)
    }


def state_of(project: str) -> Json:
    """The containers, networks and volumes of a project without what differs from run to run."""
    found = containers(project)
    names = {one["Id"]: one["Name"].lstrip("/") for one in found}
    return {
        "containers": {names[one["Id"]]: _container(one, names) for one in found},
        "networks": {one["Name"]: _network(one) for one in inspect("network", _listed("network", project))},
        "volumes": {
            one["Name"]: _volume(one)
            for one in inspect("volume", _listed("volume", project))
            if not _ANONYMOUS.fullmatch(one["Name"])
        },
    }


def differences(left: object, right: object, path: str = "") -> list[str]:
    """Where two states differ, as `path: left ≠ right`; empty when they are equal."""
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        keys = sorted({*left, *right}, key=str)
        return [
            line
            for key in keys
            for line in differences(left.get(key, "<absent>"), right.get(key, "<absent>"), f"{path}/{key}")
        ]
    if _listlike(left) and _listlike(right) and len(left) == len(right):  # type: ignore[arg-type]
        pairs = enumerate(zip(left, right, strict=True))  # type: ignore[call-overload]
        return [line for index, (a, b) in pairs for line in differences(a, b, f"{path}[{index}]")]
    return [] if left == right else [f"{path}: {left!r} ≠ {right!r}"]


def _listlike(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _container(one: Json, names: Mapping[str, str]) -> Json:
    config, host = dict(one["Config"]), dict(one["HostConfig"])
    short = {identity[:12]: name for identity, name in names.items()}
    config["Hostname"] = short.get(config.get("Hostname") or "", config.get("Hostname"))
    config["Env"] = sorted(config.get("Env") or ())
    config["Labels"] = _labels(config.get("Labels") or {}, host)
    host = {key: _without_ids(value, names) for key, value in host.items() if key not in _RANDOM_HOST}
    host["ExtraHosts"] = sorted(host.get("ExtraHosts") or ())
    host["Ulimits"] = sorted(host.get("Ulimits") or (), key=lambda one: str(one["Name"]))
    host["Mounts"] = sorted(host.get("Mounts") or (), key=lambda one: str(one["Target"]))
    host["Binds"] = sorted(_anonymous(bind) for bind in host.get("Binds") or ())
    state = one["State"]
    return {
        "config": config,
        "host": host,
        "image": one["Image"],
        "path": [one["Path"], *one["Args"]],
        "mounts": sorted((_mount(mount) for mount in one["Mounts"]), key=lambda mount: mount["Destination"]),
        "networks": {
            name: _endpoint(entry, one) for name, entry in (one["NetworkSettings"]["Networks"] or {}).items()
        },
        "ports": {
            key: _bindings(key, value, host) for key, value in (one["NetworkSettings"]["Ports"] or {}).items()
        },
        "state": {"status": state["Status"], "exit": state["ExitCode"], "error": state["Error"]},
    }


def _labels(labels: Mapping[str, str], host: Json) -> dict[str, str]:
    """Labels without what Compose itself writes differently each time.

    It lists dependencies in no order, and hashes the other container's id where a namespace or volumes are shared.
    """
    kept = dict(labels)
    if DEPENDS in kept:
        kept[DEPENDS] = ",".join(sorted(kept[DEPENDS].split(",")))
    shared = [str(host.get(key) or "") for key in ("NetworkMode", "PidMode", "IpcMode")]
    if host.get("VolumesFrom") or any(value.startswith("container:") for value in shared):
        kept.pop(HASH, None)
    return kept


def _without_ids(value: object, names: Mapping[str, str]) -> object:
    """The value with container ids replaced by container names."""
    if isinstance(value, str):
        for identity, name in names.items():
            value = value.replace(identity, name)
        return value
    if isinstance(value, list):
        return [_without_ids(item, names) for item in value]
    return value


def _anonymous(text: str) -> str:
    return _ANONYMOUS.sub("<anonymous>", text)


def _mount(mount: Json) -> Json:
    return {
        key: _anonymous(value) if isinstance(value, str) else value
        for key, value in mount.items()
        if not (key == "Source" and mount.get("Type") == "volume")
    }


def _endpoint(entry: Json, one: Json) -> Json:
    short = one["Id"][:12]
    return {
        "aliases": sorted({alias for alias in entry.get("Aliases") or () if alias != short}),
        "address": entry.get("IPAMConfig") or {},
        "links": sorted(entry.get("Links") or ()),
        "options": entry.get("DriverOpts"),
        "dns": sorted({name for name in entry.get("DNSNames") or () if name != short}),
        "mac": entry.get("MacAddress") if one["Config"].get("MacAddress") else "",
    }


def _bindings(port: str, bindings: list[Json] | None, host: Json) -> object:
    """Bindings with those host ports that the engine chose left out."""
    asked = {(want or {}).get("HostPort") for want in (host.get("PortBindings") or {}).get(port) or ()}
    return [
        {**binding, "HostPort": binding["HostPort"] if binding["HostPort"] in asked else "<chosen>"}
        for binding in bindings or ()
    ]


def _network(one: Json) -> Json:
    kept = {
        key: one.get(key)
        for key in ("Driver", "Internal", "Attachable", "EnableIPv6", "Options", "Labels", "Scope")
    }
    ipam = [config for config in one["IPAM"]["Config"] or () if config["Subnet"].startswith(_CHOSEN_SUBNETS)]
    return {**kept, "ipam": ipam}


def _volume(one: Json) -> Json:
    return {key: one.get(key) for key in ("Driver", "Labels", "Options", "Scope")}


def remove(project: str, *images: str) -> None:
    """Remove everything that carries a project's label, at once, and images by name."""
    found = _listed("container", project)
    if found:
        carried = _nameless(containers(project))
        subprocess.run(["docker", "rm", "-f", "-v", *found], capture_output=True, check=False)
        if carried:
            subprocess.run(["docker", "volume", "rm", *carried], capture_output=True, check=False)
    for kind in ("network", "volume"):
        names = docker(kind, "ls", "-q", "--filter", f"label={PROJECT}={project}").split()
        if names:
            subprocess.run(["docker", kind, "rm", *names], capture_output=True, check=False)
    kept = docker("image", "ls", "--filter", f"reference=sutazai-ops-keep/{project}:*", "--format", TAGGED)
    names = [*images, *kept.split()]
    if names:
        subprocess.run(["docker", "image", "rm", *names], capture_output=True, check=False)


def _nameless(found: Iterable[Json]) -> list[str]:
    """Anonymous volumes; one that was carried over from an earlier container does not go with the later one."""
    names = {mount.get("Name", "") for one in found for mount in one["Mounts"] if mount["Type"] == "volume"}
    return sorted(name for name in names if re.fullmatch("[0-9a-f]{64}", name))


def left(project: str) -> list[str]:
    """What still carries a project's label."""
    return [name for kind in ("container", "network", "volume") for name in _listed(kind, project)]
