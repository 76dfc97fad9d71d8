"""Reading a project's files from disk: includes, extends, env files, sockets."""

from __future__ import annotations

from pathlib import Path

from blocks.sockets import has_way, listeners, routes
from blocks.sources import kind_of, read_sources
from compose.stack.commands import Project
from compose.stack.preflight.sources import active, written


def write(place: Path, **files: str) -> Project:
    """A project of these files; `__` in a name is a slash, `_` a dot."""
    for name, text in files.items():
        path = place / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Project((str(place / "compose.yml"),), "t-reading")


def test_includes_and_extends_are_followed(tmp_path: Path) -> None:
    """Each file with its own directory and variables; what is missing is noted once."""
    project = write(
        tmp_path,
        compose_yml="include: [{path: sub/compose.yml}, gone.yml]\n"
        "services: {a: {extends: {file: base/base.yml, service: b}, env_file: x.env}}",
        sub__compose_yml="services: {c: {image: 'x:${TAG}', env_file: y.env}}",
        sub___env="TAG=7",
        base__base_yml="services: {b: {image: x, env_file: z.env}}",
    )
    found = read_sources(project, {})
    assert set(written(found)) == {"a", "c"}
    assert [unread.path for unread in found.unread] == [str(tmp_path / "gone.yml")]
    assert set(found.paths) == {str(tmp_path / path) for path in ("x.env", "sub/y.env", "base/z.env")}
    assert {source.directory: source.fill("${TAG}") for source in found.documents} == {
        str(tmp_path / "sub"): "7",
        str(tmp_path): "",
    }


def test_a_file_that_includes_itself_is_read_once(tmp_path: Path) -> None:
    """No recursion without end."""
    text = "include: [compose.yml]\nservices: {a: {extends: {file: compose.yml, service: a}}}"
    assert set(written(read_sources(write(tmp_path, compose_yml=text), {}))) == {"a"}


def test_env_files_that_only_compose_understands(tmp_path: Path) -> None:
    """Values over several lines are set, and profiles come from there too."""
    project = write(
        tmp_path,
        compose_yml="services: {a: {image: x}, b: {image: x, profiles: [p]}}",
        _env='KEY="-----BEGIN\nabc=\n-----END"\nexport B=2\nCOMPOSE_PROFILES=p\n',
    )
    found = read_sources(project, {})
    known = found.documents[0].environment
    assert {"KEY", "B"} <= set(known)
    assert set(active(found, written(found))) == {"a", "b"}


def test_kinds(tmp_path: Path) -> None:
    """A dangling link is missing, whatever stands in its place."""
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nothing")
    assert [kind_of(str(tmp_path / name)) for name in ("file", "link", "none", ".")] == [
        "file", "missing", "missing", "directory",
    ]  # fmt: skip


TCP = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1
   1: 0100007F:1F91 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 112 1
"""
TCP6 = """  sl  local_address remote_address st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode
   0: 00000000000000000000000000000000:1F92 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 113 1
   1: 0000000000000000FFFF00000100007F:1F93 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 114 1
"""
ROUTES = """Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT
eth0\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
tun0\t0000D50A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
"""


def test_the_kernels_tables(tmp_path: Path) -> None:
    """Listening sockets only, IPv4 inside IPv6 as IPv4; routes that are neither default nor Docker's."""
    (tmp_path / "net").mkdir()
    for name, text in {"tcp": TCP, "tcp6": TCP6, "route": ROUTES}.items():
        (tmp_path / "net" / name).write_text(text)
    found = listeners(range(8080, 8090), proc=tmp_path)
    assert [(one.address, one.port) for one in found] == [("127.0.0.1", 8080), ("::", 8082), ("127.0.0.1", 8083)]
    assert [(route.subnet, route.interface) for route in routes(tmp_path)] == [("10.213.0.0/16", "tun0")]
    assert listeners({8080}, proc=tmp_path / "none") == ()


IPV6_ROUTES = """\
fd000000000000000000000000000000 08 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001   br-1
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003   eth0
"""  # noqa: E501


def test_a_way_that_is_not_the_default_one(tmp_path: Path) -> None:
    """Addresses of this machine's own networks, and those that somebody routed; all where no routes are shown."""
    (tmp_path / "net").mkdir()
    (tmp_path / "net/route").write_text(ROUTES)
    (tmp_path / "net/ipv6_route").write_text(IPV6_ROUTES)
    ways = {address: has_way(address, tmp_path) for address in ("10.213.7.9", "8.8.8.8", "fd00::7", "2001:db8::1")}
    assert ways == {"10.213.7.9": True, "8.8.8.8": False, "fd00::7": True, "2001:db8::1": False}
    assert has_way("127.0.0.1", tmp_path)
    assert has_way("8.8.8.8", tmp_path / "none")
