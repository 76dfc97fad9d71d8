"""Subnets, externals and fixed names against what the engine has."""

from __future__ import annotations

from compose.stack.preflight.host import HostFacts, Network, Route
from compose.stack.preflight.network_checks import check_container_names, check_externals, check_networks
from tests.preflighting import stack

ONE = "a: {image: x}"


def wanted(*subnets: str) -> dict[str, object]:
    """Networks n0, n1, … with a subnet each."""
    return {
        f"n{index}": {"name": f"t-unit_n{index}", "ipam": {"config": [{"subnet": subnet}]}}
        for index, subnet in enumerate(subnets)
    }


def test_a_taken_subnet_names_network_and_project() -> None:
    """Who has it, and how to get rid of it."""
    host = HostFacts(networks=(Network("other_default", ("10.213.0.0/20",), "other"), Network("host")))
    (item,) = check_networks(stack(ONE, networks=wanted("10.213.1.0/24")), host)
    assert item.code == "subnet-taken"
    assert "other_default of project other" in item.what
    assert "docker compose -p other down" in item.next


def test_our_own_network_is_no_problem() -> None:
    """The project's network exists already; with another subnet it is told that Compose keeps it."""
    there = HostFacts(networks=(Network("t-unit_n0", ("10.213.1.0/24",), "t-unit"),))
    assert not list(check_networks(stack(ONE, networks=wanted("10.213.1.0/24")), there))
    (item,) = check_networks(stack(ONE, networks=wanted("10.213.2.0/24")), there)
    assert item.code == "network-differs"


def test_subnets_within_one_file_and_wrong_ones() -> None:
    """Two of our own that overlap, and one that is no subnet; families do not mix."""
    networks = wanted("10.213.1.0/24", "10.213.1.128/25", "no", "fd00::/64")
    codes = [item.code for item in check_networks(stack(ONE, networks=networks), HostFacts())]
    assert codes == ["subnet-invalid", "subnet-taken"]


def test_a_route_is_a_warning() -> None:
    """A VPN's network would be cut off; the default route is none."""
    host = HostFacts(routes=(Route("10.213.0.0/16", "tun0"), Route("0.0.0.0/0", "eth0")))
    (item,) = check_networks(stack(ONE, networks=wanted("10.213.1.0/24")), host)
    assert (item.code, "tun0" in item.what) == ("subnet-routed", True)


def test_externals() -> None:
    """What Compose would miss at its first step."""
    top = {
        "networks": {"there": {"name": "there", "external": True}, "gone": {"name": "gone", "external": True}},
        "volumes": {"data": {"name": "data", "external": True}},
    }
    host = HostFacts(networks=(Network("there"),))
    found = list(check_externals(stack(ONE, **top), host))
    assert [(item.key, item.next) for item in found] == [
        ("networks.gone", "docker network create gone"), ("volumes.data", "docker volume create data"),
    ]  # fmt: skip


def test_container_names() -> None:
    """One name for two services, and a name that another project's container has."""
    text = "a: {image: x, container_name: n}\nb: {image: x, container_name: n}\nc: {image: x, container_name: m}"
    host = HostFacts(containers={"n": "t-unit", "m": "other"})
    found = [(item.code, item.service) for item in check_container_names(stack(text), host)]
    assert found == [("duplicate-container-name", "b"), ("container-name-taken", "c")]
