"""Networks, subnets and whatever must exist beforehand."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

from compose.stack.preflight.findings import Finding
from compose.stack.preflight.host import HostFacts, Network
from compose.stack.preflight.sources import truth
from compose.stack.service import Stack

BUILT_IN = ("bridge", "docker_gwbridge", "ingress")
Subnet = ipaddress.IPv4Network | ipaddress.IPv6Network


def check_networks(stack: Stack, host: HostFacts) -> Iterator[Finding]:
    """Subnets that are invalid, overlap, are taken or routed elsewhere; networks that stay as they were."""
    wanted: list[tuple[str, str, Subnet]] = []
    for key, body in stack.section("networks").items():
        for index, text in _subnets(body):
            subnet = _parse(text)
            if subnet is None:
                yield Finding("subnet-invalid", f"{text!r} is no subnet", key=f"networks.{key}.{index}")
            else:
                wanted.append((key, str(body.get("name") or key), subnet))
    for (one, _, mine), (other, _, theirs) in combinations(wanted, 2):
        if overlapping(mine, theirs):
            what = f"{theirs} overlaps with {mine} of network {one} in the same file"
            yield Finding("subnet-taken", what, key=f"networks.{other}.ipam", next="choose another subnet")
    for key, name, subnet in wanted:
        yield from _taken(key, name, subnet, host)


def _taken(key: str, name: str, subnet: Subnet, host: HostFacts) -> Iterator[Finding]:
    place = f"networks.{key}.ipam"
    for network in host.networks:
        theirs = [found for text in network.subnets if (found := _parse(text))]
        if network.name == name:
            if theirs and subnet not in theirs:
                what = f"network {name} exists with {', '.join(network.subnets)}, the file says {subnet}"
                yield Finding("network-differs", what, key=place)
            continue
        for found in theirs:
            if overlapping(found, subnet):
                owner = f" of project {network.project}" if network.project else ""
                what = f"{subnet} overlaps with {found} of network {network.name}{owner}"
                yield Finding("subnet-taken", what, key=place, next=_advice(network))
    if any(network.name == name for network in host.networks):
        return  # its own route is there already
    for route in host.routes:
        found = _parse(route.subnet)
        if found and found.prefixlen > 0 and overlapping(found, subnet):
            what = f"{subnet} overlaps with {found}, which is reached through {route.interface}"
            yield Finding("subnet-routed", what, key=place)


def _advice(network: Network) -> str:
    if network.name in BUILT_IN:
        return "choose another subnet"
    if network.project:
        return f"choose another subnet, or docker compose -p {network.project} down"
    return f"choose another subnet, or docker network rm {network.name}"


def _subnets(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if truth(body.get("external") or ""):
        return
    for index, entry in enumerate((body.get("ipam") or {}).get("config") or ()):
        if entry and entry.get("subnet"):
            yield f"ipam.config.{index}.subnet", str(entry["subnet"])


def _parse(text: str) -> Subnet | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def overlapping(one: Subnet, other: Subnet) -> bool:
    """Whether two subnets of any family meet."""
    return one.version == other.version and one.overlaps(other)


def check_externals(stack: Stack, host: HostFacts) -> Iterator[Finding]:
    """External networks and volumes that do not exist."""
    there = {"networks": {network.name for network in host.networks}, "volumes": set(host.volumes)}
    for section, names in there.items():
        for key, body in stack.section(section).items():
            name = str(body.get("name") or key)
            if truth(body.get("external") or "") and name not in names:
                kind = section[:-1]
                yield Finding("external-missing", f"external {kind} {name} does not exist", key=f"{section}.{key}",
                              next=f"docker {kind} create {name}")  # fmt: skip


def check_container_names(stack: Stack, host: HostFacts) -> Iterator[Finding]:
    """Fixed names that two services share, or that another project's container has."""
    owners: dict[str, str] = {}
    for service in stack.services.values():
        name = service.container_name
        if not name:
            continue
        if name in owners:
            what = f"{name} is the container name of {owners[name]} too"
            yield Finding("duplicate-container-name", what, service.name, "container_name", also=(owners[name],))
        owners.setdefault(name, service.name)
        if name in host.containers and host.containers[name] != stack.project:
            other = host.containers[name]
            owner = f"project {other}" if other else "no compose project"
            yield Finding("container-name-taken", f"{name} belongs to a container of {owner}", service.name,
                          "container_name")  # fmt: skip
        if service.replicas > 1:
            what = f"container_name {name} with {service.replicas} replicas"
            yield Finding("container-name-replicas", what, service.name, "container_name")
