"""Limits, requirements and disks against the machine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compose.stack.machine import Distribution
from compose.stack.preflight.host import Disk, HostFacts
from compose.stack.preflight.limit_checks import check_limits, check_sums
from compose.stack.preflight.quantities import human, redis_size, size
from compose.stack.preflight.requirement_checks import GB, check_disks, check_requirements, needs, supported
from tests.preflighting import stack

G = 1024**3
SMALL = HostFacts(cpus=2.0, memory=4 * G, memory_free=3 * G)


def service(limits: str = "", reservations: str = "", more: str = "") -> str:
    """A service `a` with limits."""
    return (
        f"a: {{image: x, deploy: {{resources: {{limits: {{{limits}}}, reservations: {{{reservations}}}}}}}{more}}}"
    )


def codes(text: str, host: HostFacts = SMALL) -> list[str]:
    """Codes of one service's limits."""
    return [item.code for item in check_limits(stack(text), host) if item.code != "no-memory-limit"]


@pytest.mark.parametrize(
    ("limits", "reservations", "expected"),
    [
        ("cpus: '20'", "", ["cpu-limit"]),
        ("cpus: 2.0, memory: '4294967296'", "", []),
        ("memory: '8589934592'", "", ["memory-limit"]),
        ("memory: 1m", "", ["memory-limit-small"]),
        ("memory: 1g, cpus: '1'", "memory: 2g, cpus: '2'", ["cpu-reserved", "reservation-above-limit"]),
    ],
)
def test_one_service(limits: str, reservations: str, expected: list[str]) -> None:
    """What the engine refuses, and what protects nobody."""
    assert codes(service(limits, reservations)) == expected


@pytest.mark.parametrize(
    ("command", "bad"),
    [
        ("redis-server --maxmemory 512mb", True),
        ("redis-server --maxmemory 384mb", False),
        ("redis-server --maxmemory 600m", True),
        ("sh -c 'redis-server --maxmemory 1gb'", True),
        ("redis-server", False),
    ],
)
def test_redis_needs_room(command: str, bad: bool) -> None:
    """maxmemory has to stay below the container's limit."""
    text = f'a: {{image: "redis:7", mem_limit: 512m, command: "{command}"}}'
    assert ("redis-maxmemory" in codes(text)) is bad


def test_all_together() -> None:
    """Reservations that cannot all be kept are an error, limits a warning; one-shots are left out."""
    text = """
a: {image: x, deploy: {replicas: 3, resources: {limits: {memory: 2g, cpus: '2'}, reservations: {memory: 1g}}}}
b: {image: x, deploy: {resources: {limits: {memory: 3g, cpus: '2'}, reservations: {memory: 2g, cpus: '3'}}}}
c: {image: x, mem_limit: 60g, x-ops: {oneshot: once}}
"""
    found = [item.code for item in check_sums(stack(text), SMALL, frozenset())]
    assert found == ["memory-reserved", "memory-overcommitted", "cpu-reserved"]
    assert not list(check_sums(stack(text), HostFacts(), frozenset()))


def test_memory_that_is_free_now() -> None:
    """What runs already is not wanted again."""
    text = "a: {image: x, mem_reservation: 3g}\nb: {image: x, mem_reservation: 512m}"
    host = HostFacts(cpus=2.0, memory=4 * G, memory_free=2 * G)
    assert [item.code for item in check_sums(stack(text), host, frozenset())] == ["memory-short"]
    assert not list(check_sums(stack(text), host, frozenset({"a"})))


def test_the_documents_figures_are_for_the_full_stack() -> None:
    """52 services need section 7.1; a few need their share."""
    full = needs(stack("\n".join(f"s{n}: {{image: x}}" for n in range(52))))
    assert (full.cpus, full.disk) == ((8, 16), (100 * GB, 200 * GB))
    assert 31 * G < full.memory[0] <= 32 * G
    light = needs(stack("\n".join(f"s{n}: {{image: x, mem_reservation: 96m}}" for n in range(8))))
    assert light.cpus[0] <= 2
    assert light.memory[0] < 4 * G
    assert light.disk[0] <= 15 * GB


def test_below_minimum_warns_and_below_recommended_informs() -> None:
    """Each figure on its own; what cannot be seen is not told."""
    text = "\n".join(f"s{n}: {{image: x}}" for n in range(26))
    host = HostFacts(
        cpus=2, memory=17 * G, disks=(Disk("/d", 60 * GB, 1 * GB),), engine="23.0.1", compose="1.29.2",
        system=Distribution("ubuntu", "18.04"),
    )  # fmt: skip
    found = {(item.code, item.key) for item in check_requirements(stack(text), host, frozenset())}
    assert found == {
        ("below-minimum", "cpus"), ("below-recommended", "memory"), ("below-recommended", "disk"),
        ("below-minimum", "engine"), ("below-minimum", "compose"), ("below-minimum", "system"),
    }  # fmt: skip
    assert not list(check_requirements(stack(text), HostFacts(), frozenset()))


@pytest.mark.parametrize(
    ("system", "good"),
    [
        (Distribution("ubuntu", "20.04"), True),
        (Distribution("ubuntu", "18.04"), False),
        (Distribution("debian", "12"), True),
        (Distribution("debian"), True),
        (Distribution("rocky", "9.3", like=("rhel",)), True),
        (Distribution("linuxmint", "21", like=("ubuntu", "debian")), True),
        (Distribution("docker desktop"), True),
        (Distribution("alpine", "3.20"), False),
    ],
)
def test_systems(system: Distribution, good: bool) -> None:
    """Those that the document names, and Debian."""
    assert supported(system) is good


def test_disks() -> None:
    """Space and inodes, where the file system counts them."""
    disks = (
        Disk("/var/lib/docker", 100 * GB, 1000, 1_000_000, 100),
        Disk("/home", 10 * GB, 5 * GB, 1_000_000, 20_000),
    )
    found = [(item.code, item.key) for item in check_disks(HostFacts(disks=disks))]
    assert found == [
        ("disk-full", "disk:/var/lib/docker"),
        ("inodes-full", "inodes:/var/lib/docker"),
        ("inodes-low", "inodes:/home"),
    ]
    assert not list(check_disks(HostFacts(disks=(Disk("/btrfs", 100 * GB, 50 * GB),))))


@pytest.mark.parametrize(
    ("text", "compose", "redis"),
    [("512m", 512 * 2**20, 512 * 10**6), ("512mb", 512 * 2**20, 512 * 2**20), ("1G", 2**30, 10**9), ("7", 7, 7),
     ("1.5g", 3 * 2**29, int(1.5e9)), ("2gib", 2 * 2**30, None), ("x", None, None), ("", None, None)],
)  # fmt: skip
def test_sizes(text: str, compose: int | None, redis: int | None) -> None:
    """Compose counts in 1024; Redis does so only with a b."""
    assert size(text) == compose
    assert redis_size(text) == redis


@given(st.integers(0, 10**16))
def test_sizes_are_readable(count: int) -> None:
    """A number, a space and a unit."""
    number, unit = human(count).split()
    assert unit in {"B", "KiB", "MiB", "GiB", "TiB"}
    assert float(number) >= 0


@given(st.text(max_size=12))
def test_any_text_is_a_size_or_none(text: str) -> None:
    """Nothing falls over."""
    size(text)
    redis_size(text)
