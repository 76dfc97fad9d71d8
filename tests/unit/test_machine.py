"""Which engine is good enough, and how one is had: literal commands for each distribution."""

import pytest

from compose.stack.engine_packages import (
    apt_install,
    debian_source,
    download_newer,
    engine_packages,
    newer_suite,
)
from compose.stack.errors import Refused
from compose.stack.machine import (
    Distribution,
    EngineFacts,
    distribution,
    engine_action,
    require_versions,
    version_of,
)

BOOKWORM = Distribution("debian", "12", "bookworm")
TRIXIE = Distribution("debian", "13", "trixie")
NOBLE = Distribution("ubuntu", "24.04", "noble", ("debian",))


def test_reads_os_release():
    """Quoted and bare values, and the list of relatives."""
    text = 'NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\nVERSION_CODENAME=noble\n'
    assert distribution(text) == NOBLE
    assert distribution("ID=arch\n") == Distribution("arch")


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("v2.26.1-4", (2, 26, 1)), ("26.1.5+dfsg1", (26, 1, 5)), ("29.0", (29, 0)), ("dev", ())],
)
def test_reads_versions_with_distribution_suffixes(text, numbers):
    """Debian's and upstream's spellings give numbers that compare."""
    assert version_of(text) == numbers


def test_old_versions_are_refused_both_at_once():
    """Engine 20.10 with Compose 2.20 names both and what is needed."""
    with pytest.raises(Refused, match=r"20\.10\.24.*25\.0.*2\.20\.0.*2\.24"):
        require_versions("20.10.24+dfsg1", "2.20.0")
    require_versions("25.0", "2.24.0")


def test_a_missing_compose_plugin_is_refused():
    """An engine without Compose is no use."""
    with pytest.raises(Refused, match="plugin is missing"):
        require_versions("26.1.5", "")


def test_engine_is_used_started_or_installed():
    """What answers is used; what is installed is started; nothing at all is installed."""
    assert engine_action(EngineFacts(True, True, "26.1.5", "2.26.1"), BOOKWORM) == "use"
    assert engine_action(EngineFacts(True, True, root=True), BOOKWORM) == "start"
    assert engine_action(EngineFacts(False, False, root=True), NOBLE) == "install"
    assert engine_action(EngineFacts(True, False, root=True), TRIXIE) == "install"


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        (EngineFacts(True, True, root=False), "only root can start"),
        (EngineFacts(False, False, root=False), "only root can install"),
        (EngineFacts(True, True, remote="tcp://far:2375", root=True), "no engine answers at tcp://far:2375"),
        (EngineFacts(True, True, why="permission denied while trying to connect"), "may not talk to it"),
    ],
)
def test_what_we_may_not_do_is_refused_with_the_next_step(facts, says):
    """Each refusal says what to run."""
    with pytest.raises(Refused, match=says) as refusal:
        engine_action(facts, BOOKWORM)
    assert "Next:" in str(refusal.value)


def test_unknown_distribution_is_not_guessed():
    """No package manager is tried where the recipe is not known."""
    with pytest.raises(Refused, match="fedora 40"):
        engine_action(EngineFacts(False, False, root=True), Distribution("fedora", "40"))


def test_packages_by_distribution():
    """Debian 12 takes 13's engine beside its own sources; the others have new enough packages."""
    assert "docker.io" in engine_packages(BOOKWORM).newer
    assert "docker.io" not in engine_packages(BOOKWORM).own
    assert engine_packages(TRIXIE).newer == ()
    assert {"docker.io", "docker-cli", "docker-compose"} <= set(engine_packages(TRIXIE).own)
    assert {"docker.io", "docker-compose-v2"} <= set(engine_packages(NOBLE).own)
    assert "docker-compose" not in engine_packages(NOBLE).own


def test_apt_commands_are_literal():
    """No shell, no recommended packages, lists and cache apart."""
    assert apt_install(("iptables",)) == (
        "apt-get", "install", "-y", "-qq", "--no-install-recommends", "iptables",
    )  # fmt: skip
    update, download = download_newer("/d", ("docker.io",))
    assert update[:3] == ("apt-get", "-o", "Dir::Etc::sourcelist=/d/sources.list")
    assert "Dir::State::lists=/d/lists" in download
    assert download[-3:] == ("download", "-qq", "docker.io")


DEB822 = """Types: deb
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/own.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
"""


@pytest.mark.parametrize(
    ("files", "line"),
    [
        (
            {"/etc/apt/sources.list.d/debian.sources": DEB822},
            "deb [signed-by=/usr/share/keyrings/own.gpg] http://mirror.example/debian trixie main\n",
        ),
        (
            {"/etc/apt/sources.list": "# x\ndeb http://m/debian bookworm main contrib\n"},
            "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://m/debian trixie main\n",
        ),
        (
            {"/etc/apt/sources.list": "deb [arch=amd64 signed-by=/k.gpg] http://m/debian bookworm main\n"},
            "deb [signed-by=/k.gpg] http://m/debian trixie main\n",
        ),
    ],
)
def test_newer_suite_comes_from_the_machines_own_mirror(files, line):
    """Mirror and keyring are the machine's own, in both spellings of a source."""
    assert newer_suite(debian_source(files, "bookworm")) == line


def test_a_machine_without_a_debian_source_is_refused():
    """Another vendor's source is not taken for Debian's."""
    with pytest.raises(Refused, match="no apt source of bookworm"):
        debian_source({"/etc/apt/sources.list": "deb http://x.example/apt nodistro main\n"}, "bookworm")
