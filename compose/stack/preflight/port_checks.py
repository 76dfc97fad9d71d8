"""Host ports: published twice, or held by somebody else."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from compose.stack.preflight.findings import Finding
from compose.stack.preflight.host import HostFacts
from compose.stack.service import Service, Stack


@dataclass(frozen=True)
class Claim:
    """One host port, or one of a range, that one container wants."""

    service: str
    key: str
    protocol: str
    address: str
    first: int
    last: int
    replica: int = 1

    @property
    def fixed(self) -> bool:
        """True when only one port will do."""
        return self.first == self.last

    def __str__(self) -> str:
        port = str(self.first) if self.fixed else f"{self.first}-{self.last}"
        address = f"[{self.address}]" if ":" in self.address else self.address or "0.0.0.0"
        return f"{address}:{port}/{self.protocol}"


def claims(stack: Stack) -> tuple[Claim, ...]:
    """Every host port that the stack wants, one claim per replica."""
    return tuple(claim for service in stack.services.values() for claim in _claims(service))


def _claims(service: Service) -> Iterator[Claim]:
    for index, entry in enumerate(service.raw.get("ports") or ()):
        found = re.fullmatch(r"(\d+)(?:-(\d+))?", str(entry.get("published") or ""))
        if not found or found[1] == "0":
            continue
        first, last = int(found[1]), int(found[2] or found[1])
        protocol, address = str(entry.get("protocol") or "tcp"), str(entry.get("host_ip") or "")
        for replica in range(1, max(service.replicas, 0) + 1):
            yield Claim(service.name, f"ports.{index}", protocol, address, first, last, replica)


def overlap(one: str, other: str) -> bool:
    """Whether two host addresses can meet; an empty one stands for all of both families."""
    mine, theirs = _families(one), _families(other)
    if one == other or not mine & theirs:
        return bool(mine & theirs)
    return _any(one) or _any(other)


def _any(address: str) -> bool:
    return address in {"", "0.0.0.0", "::", "*"}


def _families(address: str) -> set[int]:
    if address in {"", "*"}:
        return {4, 6}
    try:
        return {ipaddress.ip_address(address.strip("[]").split("%")[0]).version}
    except ValueError:
        return {4, 6}


def check_duplicates(stack: Stack) -> Iterator[Finding]:
    """Ports that two containers of the stack publish."""
    wanted = claims(stack)
    fixed = [claim for claim in wanted if claim.fixed]
    by_port: dict[tuple[str, int], list[Claim]] = {}
    for claim in fixed:
        by_port.setdefault((claim.protocol, claim.first), []).append(claim)
    told: set[tuple[str, str, str, str]] = set()
    for group in by_port.values():
        for one, other in combinations(group, 2):
            mark = (one.service, one.key, other.service, other.key)
            if mark not in told and overlap(one.address, other.address):
                told.add(mark)
                yield _duplicate(one, other)
    yield from _crowded_ranges(wanted, fixed)


def _duplicate(one: Claim, other: Claim) -> Finding:
    if one.service == other.service and one.key == other.key:
        what = f"{one} is one port for several replicas"
        return Finding("duplicate-port", what, one.service, one.key, "publish a range, or none")
    also = () if other.service == one.service else (one.service,)
    what = f"{other} is published by {one.service} ({one}) too"
    return Finding("duplicate-port", what, other.service, other.key, also=also)


def _crowded_ranges(wanted: tuple[Claim, ...], fixed: list[Claim]) -> Iterator[Finding]:
    given: list[tuple[Claim, int]] = [(claim, claim.first) for claim in fixed]
    for claim in sorted((c for c in wanted if not c.fixed), key=lambda c: (c.last, c.first)):
        rivals = {
            port for other, port in given
            if other.protocol == claim.protocol and overlap(other.address, claim.address)
        }  # fmt: skip
        free = next((port for port in range(claim.first, claim.last + 1) if port not in rivals), None)
        if free is None:
            yield Finding("duplicate-port", f"{claim} has no port left for replica {claim.replica}", claim.service,
                          claim.key)  # fmt: skip
        else:
            given.append((claim, free))


def check_taken(stack: Stack, host: HostFacts) -> Iterator[Finding]:
    """Ports that others hold: processes, or containers of other projects."""
    told: set[tuple[str, str]] = set()
    for claim in claims(stack):
        holders = [holder(claim, port, stack.project, host) for port in range(claim.first, claim.last + 1)]
        if all(holders) and (claim.service, claim.key) not in told:
            told.add((claim.service, claim.key))
            yield Finding("port-taken", f"{claim} is held by {holders[0]}", claim.service, claim.key)


def holder(claim: Claim, port: int, project: str, host: HostFacts) -> str:
    """Who else holds a port; empty when it is free or our own."""
    mine = False
    for entry in host.published:
        if (entry.protocol, entry.port) == (claim.protocol, port) and overlap(entry.address, claim.address):
            if entry.project != project:
                return entry.holder
            mine = True
    if mine:
        return ""
    for listener in host.listeners:
        address = "" if listener.address == "::" else listener.address  # it takes IPv4 connections as well
        if (listener.protocol, listener.port) == (claim.protocol, port) and overlap(address, claim.address):
            return listener.holder or "another process"
    return ""
