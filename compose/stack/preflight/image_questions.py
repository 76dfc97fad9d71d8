"""What the second pass wants to know of an image's files, for one service."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping

from compose.stack.preflight.data_paths import covers
from compose.stack.preflight.images import DEFAULT_PATH, Image, Question
from compose.stack.preflight.shell_words import alternatives
from compose.stack.service import Service, Stack


def question(stack: Stack, service: Service, image: Image, volumes: frozenset[str]) -> Question:
    """What the checks want to know of an image's files for one service.

    Args:
        stack: The stack.
        service: The service.
        image: Its image.
        volumes: The volumes that exist: their owners are what they are.
    """
    search = search_of(service, image)
    wanted = {name for names in alternatives(health_test(service, image)) for name in names}
    wanted |= {shell_of(image)} if health_test(service, image)[:1] == ("CMD-SHELL",) else set()
    started = started_by(service, image)
    wanted |= {started} if started else set()
    names = {resolved(name, service, image) for name in wanted if not is_mounted(name, service)}
    fresh = {target for target, _ in fresh_volumes(stack, service, volumes)}
    user = str(service.raw.get("user") or image.user)
    named = not all(part.isdigit() for part in user.split(":")) if user else False
    return Question(
        frozenset((name, search) for name in names if name), frozenset(fresh), bool(user and (named or fresh))
    )


def health_test(service: Service, image: Image) -> tuple[str, ...]:
    """The health check that the container will have, empty for none."""
    check = service.healthcheck
    if check is not None and check.disabled:
        return ()
    test = check.test if check is not None and check.test else image.healthcheck
    return () if test[:1] == ("NONE",) else test


def shell_of(image: Image) -> str:
    """What runs commands in shell form."""
    return image.shell[0] if image.shell else "/bin/sh"


def search_of(service: Service, image: Image) -> str:
    """The search path that the container will have."""
    return service.environment.get("PATH") or image.environment.get("PATH") or DEFAULT_PATH


def started_by(service: Service, image: Image) -> str:
    """The program that the container starts, where the file names it."""
    entrypoint = service.raw.get("entrypoint")
    words = entrypoint.split() if isinstance(entrypoint, str) else list(entrypoint or ())
    if words:
        return str(words[0])
    if image.entrypoint:
        return ""
    return service.command[0] if service.command else ""


def is_mounted(name: str, service: Service) -> bool:
    """Whether a path lies on a mount, a config or a secret, where the image does not show it."""
    if service.raw.get("volumes_from"):
        return True
    return any(
        covers(target, name) for target in (*(mount.target for mount in service.mounts), *_injected(service))
    )


def _injected(service: Service) -> Iterator[str]:
    """Where configs and secrets appear in the container."""
    for section, place in (("configs", "/"), ("secrets", "/run/secrets/")):
        for entry in service.raw.get(section) or ():
            body = entry if isinstance(entry, Mapping) else {"source": entry}
            yield posixpath.join(place, str(body.get("target") or body.get("source")))


def resolved(name: str, service: Service, image: Image) -> str:
    """A program's name: as it is for the search path, absolute otherwise."""
    if "/" not in name:
        return name
    base = str(service.raw.get("working_dir") or image.directory or "/")
    path = posixpath.normpath(posixpath.join(base, name))
    return "" if is_mounted(path, service) else path


def fresh_volumes(stack: Stack, service: Service, volumes: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Targets of named volumes that do not exist yet: they take owner and content from the image."""
    for index, mount in enumerate(service.mounts):
        if mount.kind != "volume" or not mount.source or mount.read_only:
            continue
        body: Mapping[str, object] = stack.section("volumes").get(mount.source) or {}
        if str(body.get("name") or mount.source) not in volumes and not body.get("driver_opts"):
            yield posixpath.normpath(mount.target), f"volumes.{index}"
