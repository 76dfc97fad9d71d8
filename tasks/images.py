"""Getting images: those present, pulled, built from the project's own recipe or from an offline one."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from blocks.compose_cli import BUILD
from blocks.files import write_private
from blocks.machine import run
from compose.stack import commands
from compose.stack.errors import Failed
from compose.stack.images import Source, builders, offline_overlay, registry_of, sources
from compose.stack.request import ImagePolicy
from compose.stack.service import parse_stack
from compose.stack.yaml_text import load
from tasks.stacks import OWN, flat_of
from tasks.work import Work

log = logging.getLogger("ops.images")
BASE = "sutazai/base:bookworm"
OWN_NAME = "sutazai"
UNREACHABLE = re.compile(
    r"no such host|connection refused|timeout|unreachable|TLS|no sign of life|EOF|dial tcp", re.I
)


def missing_images(work: Work) -> dict[str, str]:
    """The images that are not here, by service."""
    wanted = {name: service.image for name, service in work.stack.services.items()}
    here = work.engine.images(wanted.values())
    return {name: image for name, image in wanted.items() if here[image] is None}


def get_images(work: Work, policy: ImagePolicy, scope: frozenset[str]) -> Work:
    """Bring every image that the scope needs; the work with the overlay that this took.

    Args:
        policy: Where images may come from.
        scope: Services that will be deployed.

    Raises:
        Failed: An image can neither be pulled nor built; all of them are named.
    """
    work, scope = _with_recipes(work, policy, scope)
    wanted = {name: image for name, image in missing_images(work).items() if name in scope}
    wanted |= {name: work.stack[name].image for name in _stale_builds(work, scope) if name not in wanted}
    plan = sources(work.stack, wanted, policy)
    failures = _pull(work, [image for image, source in plan.items() if source is Source.PULL])
    lost = frozenset(name for name, image in wanted.items() if image in failures)
    if lost and policy == "auto" and lost <= _recipes(work).get("services", {}).keys():
        work.say("images", f"no registry gives {', '.join(sorted(lost))}: built here from packages")
        work, scope = _offline(work, lost, scope)
        return get_images(work, policy, scope)
    if failures:
        said = "; ".join(f"{image}: {reason}" for image, reason in failures.items())
        raise Failed(
            f"images cannot be had: {said}",
            where="images",
            next="check the names and the registry, or --images offline",
        )
    built = builders(work.stack)
    _build(work, [built[image] for image, source in plan.items() if source is Source.BUILD])
    return work


def _pull(work: Work, images: list[str]) -> dict[str, str]:
    """Pull three at a time; why, for each that could not be had."""
    unreachable: dict[str, str] = {}

    def one(image: str) -> tuple[str, str]:
        host = registry_of(image)
        if host in unreachable:
            return image, unreachable[host]
        work.say("images", f"pulling {image}")
        why = work.engine.pull(image) and work.engine.pull(image)  # twice: a pull is safe to repeat
        if why and UNREACHABLE.search(why):
            unreachable[host] = f"{host} cannot be reached: {why}"
        return image, why

    with ThreadPoolExecutor(3) as pool:
        done = dict(pool.map(one, dict.fromkeys(images)))
    return {image: why for image, why in done.items() if why}


def _recipes(work: Work) -> dict[str, Any]:
    if not work.found.recipes:
        return {}
    return dict(load(work.found.recipes.read_text(encoding="utf-8")) or {})


def _with_recipes(work: Work, policy: ImagePolicy, scope: frozenset[str]) -> tuple[Work, frozenset[str]]:
    """The work as the policy wants its recipes: none, all, or those in use already, as they are today."""
    recipes = _recipes(work).get("services", {})
    used: set[str] = set()
    if work.found.overlay.exists():
        used = set(load(work.found.overlay.read_text(encoding="utf-8"))["x-offline"])
    if policy == "registry" or not recipes:
        return _without_overlay(work), scope
    if policy == "offline":
        used |= {name for name, service in work.stack.services.items() if name in recipes and not service.builds}
    return _offline(work, frozenset(used), scope) if used else (work, scope)


def _offline(work: Work, services: frozenset[str], scope: frozenset[str]) -> tuple[Work, frozenset[str]]:
    """The work with recipes for these services, and the scope with the services that the recipes add."""
    assert work.found.recipes is not None
    chosen = services
    if work.found.overlay.exists():
        chosen |= set(load(work.found.overlay.read_text(encoding="utf-8"))["x-offline"])
    text = offline_overlay(_recipes(work), work.stack, chosen, str(work.found.recipes.parent))
    if not work.found.overlay.exists() or work.found.overlay.read_text(encoding="utf-8") != text:
        write_private(work.found.overlay, text)
    elif str(work.found.overlay) in work.project.overlays:
        return work, scope
    project = work.project.with_overlay(str(work.found.overlay))
    stack = parse_stack(work.cli.render(project))
    added = frozenset(stack.services) - frozenset(work.stack.services)
    found = replace(work.found, project=project)
    return replace(work, found=found, stack=stack, flat=flat_of(found, stack, work.cli)), scope | added


def _without_overlay(work: Work) -> Work:
    overlay = str(work.found.overlay)
    if overlay not in work.project.overlays:
        return work
    work.found.overlay.unlink(missing_ok=True)
    project = replace(work.project, overlays=tuple(path for path in work.project.overlays if path != overlay))
    found = replace(work.found, project=project)
    stack = parse_stack(work.cli.render(project))
    return replace(work, found=found, stack=stack, flat=flat_of(found, stack, work.cli))


def _build(work: Work, services: list[str]) -> None:
    if not services:
        return
    if any(BASE in str(work.stack[name].raw.get("build")) for name in services) and not work.engine.image(BASE):
        work.say("images", f"building {BASE}")
        run((str(OWN / "images" / "base" / "build"),), log=work.home.logs / "build-base.log", where="base image")
    project = work.project
    if work.stack.hints.own:
        # Compose writes the project's name into what it builds: one name, or two stacks take the tag in turns
        project = replace(project, name=OWN_NAME)
    for name in services:
        work.say("images", f"building {work.stack[name].image}")
        argv = commands.build(project, (name,))
        try:
            work.cli.run(argv, limit=BUILD, where=name)
        except Failed as error:
            raise Failed(work.redactor.text(error.what), where=name, next=" ".join(argv)) from None
    _remember(work, services)


def _stale_builds(work: Work, scope: frozenset[str]) -> tuple[str, ...]:
    """Services of our own stacks whose build context changed since we built them."""
    if not work.stack.hints.own:
        return ()
    known = _known_builds(work)
    names = [name for name, service in work.stack.services.items() if service.builds and name in scope]
    return tuple(name for name in names if known.get(name) != context_hash(work.stack[name].raw["build"]))


def _known_builds(work: Work) -> dict[str, str]:
    path = work.state / "builds.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}


def _remember(work: Work, services: list[str]) -> None:
    known = _known_builds(work) | {name: context_hash(work.stack[name].raw["build"]) for name in services}
    write_private(work.state / "builds.json", json.dumps(known, indent=1) + "\n")


def context_hash(build: Mapping[str, Any]) -> str:
    """SHA-256 over a build's files and arguments."""
    digest = hashlib.sha256(
        json.dumps({key: build[key] for key in sorted(build)}, sort_keys=True, default=str).encode()
    )
    root = Path(str(build.get("context") or "."))
    for path in sorted(root.rglob("*")) if root.is_dir() else []:
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(
                f"{path.relative_to(root)}\0{path.stat().st_mode & 0o111}\0".encode() + path.read_bytes()
            )
    return digest.hexdigest()
