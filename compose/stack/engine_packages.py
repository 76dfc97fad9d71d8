"""Which packages make an engine on which distribution, and the literal commands that install them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from compose.stack.errors import Refused
from compose.stack.machine import Distribution

APT_UPDATE = ("apt-get", "update", "-qq")
APT_ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
"""RUNLEVEL keeps package scripts from starting the engine where no init system runs; we do that."""

_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_NEWER_SUITE = "trixie"
_BESIDE = ("iptables", "ca-certificates", "xz-utils")
_FROM_NEWER = ("docker.io", "docker-cli", "docker-compose", "docker-buildx", "containerd")


@dataclass(frozen=True)
class Packages:
    """What to install for an engine.

    Args:
        own: Packages from the machine's own sources.
        newer: Packages downloaded from the next Debian release and installed beside, never as a source.
    """

    own: tuple[str, ...]
    newer: tuple[str, ...] = ()


def engine_packages(machine: Distribution) -> Packages:
    """The packages of an engine that is new enough.

    Debian 12 has Engine 20.10 and Compose v1; Debian 13's packages install on it as they are, with runc,
    iptables and tini from 12 (tried).
    """
    if machine.id == "debian" and machine.version == "12":
        return Packages(own=_BESIDE, newer=_FROM_NEWER)
    if machine.id == "debian":
        return Packages(own=("docker.io", "docker-cli", "docker-compose", "docker-buildx", *_BESIDE))
    return Packages(own=("docker.io", "docker-compose-v2", "docker-buildx", *_BESIDE))


def apt_install(packages: tuple[str, ...]) -> tuple[str, ...]:
    """Install packages, or package files given by path, with what they depend on and nothing more."""
    return ("apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages)


@dataclass(frozen=True)
class Source:
    """A Debian mirror and the keyring that signs it."""

    uri: str
    signed_by: str = _KEYRING

    def line(self, suite: str) -> str:
        """This source as a one-line sources.list entry for another suite."""
        return f"deb [signed-by={self.signed_by}] {self.uri} {suite} main\n"


def debian_source(files: Mapping[str, str], codename: str) -> Source:
    """The mirror that the machine itself uses for its release.

    Args:
        files: Contents of /etc/apt/sources.list and sources.list.d by path; `.sources` is deb822.
        codename: The release whose main archive is looked for, `bookworm`.
    """
    for path, text in sorted(files.items()):
        found = _from_deb822(text, codename) if path.endswith(".sources") else _from_lines(text, codename)
        if found:
            return found
    raise Refused(
        f"no apt source of {codename} found on this machine",
        where="engine",
        next="give /etc/apt/sources.list a line for it, or install Docker Engine 25 or newer by hand",
    )


def _from_deb822(text: str, codename: str) -> Source | None:
    for stanza in re.split(r"\n\s*\n", text):
        fields = {
            name.strip().lower(): value.strip()
            for name, colon, value in (line.partition(":") for line in stanza.splitlines())
            if colon and not name.startswith(("#", " "))
        }
        if codename in fields.get("suites", "").split() and "deb" in fields.get("types", "").split():
            return Source(fields["uris"].split()[0], fields.get("signed-by") or _KEYRING)
    return None


def _from_lines(text: str, codename: str) -> Source | None:
    for line in text.splitlines():
        found = re.match(
            r"deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s", line.strip() + " "
        )
        if found and found["suite"] == codename:
            signed = re.search(r"signed-by=(\S+)", found["options"] or "")
            return Source(found["uri"], signed.group(1) if signed else _KEYRING)
    return None


def newer_suite(source: Source) -> str:
    """The source list of the release that the newer packages come from."""
    return source.line(_NEWER_SUITE)


def beside(directory: str) -> tuple[str, ...]:
    """The apt options that keep a source list, its lists and its cache apart from the machine's own."""
    options = {
        "Dir::Etc::sourcelist": f"{directory}/sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "Dir::State::lists": f"{directory}/lists",
        "Dir::Cache": f"{directory}/cache",
        "APT::Sandbox::User": "root",
    }
    return tuple(word for name, value in options.items() for word in ("-o", f"{name}={value}"))


def download_newer(directory: str, packages: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Refresh the lists beside the machine's own and download the packages into the working directory."""
    options = beside(directory)
    return (("apt-get", *options, "update", "-qq"), ("apt-get", *options, "download", "-qq", *packages))
