"""What only the images tell: programs, users, ports. The second pass."""

from __future__ import annotations

from collections.abc import Iterator

from compose.stack.preflight.data_checks import check_data
from compose.stack.preflight.findings import Finding
from compose.stack.preflight.health_checks import waiting
from compose.stack.preflight.image_questions import (
    fresh_volumes,
    health_test,
    is_mounted,
    resolved,
    search_of,
    shell_of,
    started_by,
)
from compose.stack.preflight.images import Contents, Image, account
from compose.stack.preflight.shell_words import alternatives, always_passes
from compose.stack.service import Service, Stack

MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


def check_image(
    stack: Stack, service: Service, image: Image, contents: Contents, volumes: frozenset[str], machine: str = ""
) -> Iterator[Finding]:
    """Everything about one service whose image is here.

    Args:
        volumes: The volumes that exist.
        machine: The engine's architecture, as `docker info` says.
    """
    yield from _health(stack, service, image, contents)
    yield from _command(service, image, contents)
    yield from check_data(service, image)
    yield from _user(stack, service, image, contents, volumes)
    yield from _ports(service, image)
    wanted = MACHINES.get(machine, machine)
    if wanted and image.architecture and image.architecture != wanted and not service.raw.get("platform"):
        yield Finding("image-platform", f"made for {image.architecture}, this is {wanted}", service.name, "image")


def _missing(name: str, service: Service, image: Image, contents: Contents) -> bool:
    return contents.programs.get((resolved(name, service, image), search_of(service, image))) == ""


def _health(stack: Stack, service: Service, image: Image, contents: Contents) -> Iterator[Finding]:
    test = health_test(service, image)
    check = service.healthcheck
    if not test:
        others = waiting(stack, service.name)
        if others and not (check and check.disabled):
            what = f"{', '.join(others)} wait for it to be healthy, but neither file nor image has a health check"
            yield Finding("healthcheck-waited-missing", what, service.name, "healthcheck", also=others)
        return
    if check is None or not check.test:
        why = always_passes(test)
        if why:
            yield Finding("fake-healthcheck", f"the image's health check proves nothing: {why}", service.name,
                          "healthcheck.test")  # fmt: skip
    if test[0] == "CMD-SHELL" and _missing(shell_of(image), service, image, contents):
        yield Finding("healthcheck-program-missing", f"{service.image} has no {shell_of(image)}", service.name,
                      "healthcheck.test")  # fmt: skip
        return
    choices = alternatives(test)
    lacking = [[name for name in names if _missing(name, service, image, contents)] for names in choices]
    if lacking and all(lacking):
        names = ", ".join(dict.fromkeys(name for some in lacking for name in some))
        what = f"the health check calls {names}, which {service.image} lacks"
        yield Finding("healthcheck-program-missing", what, service.name, "healthcheck.test")


def _command(service: Service, image: Image, contents: Contents) -> Iterator[Finding]:
    name = started_by(service, image)
    if name and _missing(name, service, image, contents):
        key = "entrypoint" if service.raw.get("entrypoint") else "command"
        yield Finding("command-missing", f"starts {name}, which {service.image} lacks", service.name, key)


def _user(
    stack: Stack, service: Service, image: Image, contents: Contents, volumes: frozenset[str]
) -> Iterator[Finding]:
    user = str(service.raw.get("user") or image.user)
    if not user or user in {"0", "root", "0:0", "root:root"}:
        yield Finding("runs-as-root", "runs as root", service.name, "user")
        return
    named = not all(part.isdigit() for part in user.split(":"))
    if contents.passwd is None and named and not is_mounted("/etc/passwd", service):
        return  # not looked at
    who = account(user, contents)
    if isinstance(who, str):
        if not is_mounted("/etc/passwd", service):
            yield Finding(
                "user-unknown", f"runs as {user}, and {service.image} has no {who}", service.name, "user"
            )
        return
    if who.uid in (0, None):
        return
    for target, key in fresh_volumes(stack, service, volumes):
        entry = contents.places.get(target)
        if target not in contents.places or (
            entry and _may_write(entry.uid, entry.gid, entry.mode, who.uid, who.gid)
        ):
            continue
        what = f"runs as user {who.uid}, but the new volume on {target} will belong to " + (
            f"user {entry.uid}" if entry else "root: the image has no such directory"
        )
        yield Finding("volume-owner", what, service.name, key)


def _may_write(uid: int, gid: int, mode: int, who: int | None, group: int | None) -> bool:
    return bool((uid == who and mode & 0o200) or (gid == group and mode & 0o020) or mode & 0o002)


def _ports(service: Service, image: Image) -> Iterator[Finding]:
    exposed = {text if "/" in text else f"{text}/tcp" for text in image.exposed}
    for index, port in enumerate(service.ports):
        if exposed and f"{port.target}/{port.protocol}" not in exposed:
            named = ", ".join(sorted(exposed))
            what = f"publishes container port {port.target}/{port.protocol}, the image names {named}"
            yield Finding("port-not-exposed", what, service.name, f"ports.{index}")
