"""Host ports: twice in one stack, or held by others."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compose.stack.preflight.host import HostFacts, Listener, Published
from compose.stack.preflight.port_checks import check_duplicates, check_taken, overlap
from tests.preflighting import stack


def services(**ports: str) -> str:
    """Services with one port each: `a="8080"`, `b="127.0.0.1:8080/udp"`, `c="8000-8009"`."""
    lines = []
    for name, text in ports.items():
        text, _, protocol = text.partition("/")
        address, _, published = text.rpartition(":")
        host = f"host_ip: '{address}', " if address else ""
        entry = f"{{target: 80, published: '{published}', {host}protocol: {protocol or 'tcp'}}}"
        lines.append(f"{name}: {{image: x, ports: [{entry}]}}")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("one", "other", "twice"),
    [
        ("8080", "8080", True),
        ("8080", "8080/udp", False),
        ("8080", "8081", False),
        ("127.0.0.1:8080", "8080", True),
        ("127.0.0.1:8080", "0.0.0.0:8080", True),
        ("127.0.0.1:8080", "127.0.0.2:8080", False),
        ("127.0.0.1:8080", "::1:8080", False),
        ("0.0.0.0:8080", ":::8080", False),
        ("8080", "8080-8081", False),
        ("8080", "8080-8080", True),
        ("8080-8081", "8080-8081", False),
    ],
)
def test_duplicates(one: str, other: str, twice: bool) -> None:
    """Protocols and addresses keep ports apart; a range moves aside."""
    found = list(check_duplicates(stack(services(a=one, b=other))))
    assert bool(found) is twice
    if twice:
        assert (found[0].service, found[0].key, found[0].also) == ("b", "ports.0", ("a",))


def test_replicas_need_a_range() -> None:
    """Three replicas cannot share one port, nor a range of two."""
    one = "a: {image: x, deploy: {replicas: 3}, ports: [{target: 80, published: '8080'}]}"
    few = one.replace("8080", "8080-8081")
    enough = one.replace("8080", "8080-8082")
    assert len(list(check_duplicates(stack(one)))) == 1
    assert "replica 3" in next(iter(check_duplicates(stack(few)))).what
    assert not list(check_duplicates(stack(enough)))


def test_a_range_is_crowded_out_by_fixed_ports() -> None:
    """A range whose every port is fixed elsewhere has nothing left."""
    found = list(check_duplicates(stack(services(a="8080", b="127.0.0.1:8081", c="8080-8081"))))
    assert [item.service for item in found] == ["c"]


def test_holders_are_named() -> None:
    """A process by name and pid, a container by name and project; our own containers are no problem."""
    wanted = stack(services(a="8080", b="8081", c="8082", d="8083"))
    host = HostFacts(
        listeners=(
            Listener("tcp", "0.0.0.0", 8080, "nginx (pid 7)"),
            Listener("tcp", "0.0.0.0", 8082, "docker-proxy"),
        ),
        published=(
            Published("tcp", "0.0.0.0", 8081, "other-web-1", "other"),
            Published("tcp", "0.0.0.0", 8082, "t-unit-c-1", "t-unit"),
            Published("tcp", "127.0.0.1", 8083, "lonely"),
        ),
    )
    found = {item.service: item.what for item in check_taken(wanted, host)}
    assert set(found) == {"a", "b", "d"}
    assert "nginx (pid 7)" in found["a"]
    assert "container other-web-1 of project other" in found["b"]
    assert "container lonely" in found["d"]


def test_a_process_on_all_ipv6_addresses_holds_ipv4_too() -> None:
    """A socket bound to :: accepts IPv4 as well, unlike what Docker publishes there."""
    host = HostFacts(listeners=(Listener("tcp", "::", 8080, "node (pid 9)"),))
    assert list(check_taken(stack(services(a="127.0.0.1:8080")), host))


def test_a_range_with_one_free_port_is_no_problem() -> None:
    """The engine takes the free one."""
    host = HostFacts(listeners=(Listener("tcp", "0.0.0.0", 8080, "x"),))
    assert not list(check_taken(stack(services(a="8080-8081")), host))
    assert list(check_taken(stack(services(a="8080-8080")), host))


addresses = st.sampled_from(["", "0.0.0.0", "::", "127.0.0.1", "127.0.0.2", "::1", "10.0.0.1", "eth0"])


@given(addresses, addresses)
def test_overlap_is_mutual(one: str, other: str) -> None:
    """Two addresses meet or they do not, whichever is asked first; each meets itself."""
    assert overlap(one, other) == overlap(other, one)
    assert overlap(one, one)
    assert overlap(one, "")


ports = st.builds(
    lambda first, more, address: (first, first + more, address),
    st.integers(1, 6), st.integers(0, 3), st.sampled_from(["", "127.0.0.1"]),
)  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(st.lists(ports, min_size=1, max_size=5))
def test_found_exactly_when_no_choice_works(wanted: list[tuple[int, int, str]]) -> None:
    """With addresses that all meet, a problem is told exactly when there is no way to give everybody a port."""
    text = "\n".join(
        f"s{n}: {{image: x, ports: [{{target: 80, published: '{a if a == b else f'{a}-{b}'}', host_ip: '{ip}'}}]}}"
        for n, (a, b, ip) in enumerate(wanted)
    )
    found = bool(list(check_duplicates(stack(text))))
    assert found is not _possible([range(a, b + 1) for a, b, _ in wanted], frozenset())


def _possible(choices: list[range], used: frozenset[int]) -> bool:
    if not choices:
        return True
    return any(_possible(choices[1:], used | {port}) for port in choices[0] if port not in used)
