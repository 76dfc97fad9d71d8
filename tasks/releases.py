"""Recording what was deployed, and bringing a recorded release back."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Literal

from blocks.compose_cli import ComposeCli
from blocks.files import write_private
from blocks.releases import FLAT, ReleaseStore
from compose.stack.commands import Project
from compose.stack.errors import OpsError, Refused
from compose.stack.redact import hide
from compose.stack.release import SCHEMA, Health, ImageRecord, Release, changed_secrets, kept_images
from compose.stack.sealing import PREFIX, PutBack, merged, passed_through, profiles_of, put_back, take_out
from compose.stack.service import Service, Stack
from compose.stack.variables import env_file_text, names_used
from tasks.stacks import ResolvedStack
from tasks.work import Work

KEEP = "sutazai-ops-keep"
BIGGEST = 4 * 1024 * 1024
MANY = 200


def store(work: Work) -> ReleaseStore:
    """The stack's releases."""
    return ReleaseStore(work.state / "releases")


def last(work: Work) -> Release | None:
    """The newest release of this project; a stack whose project got another name has those of two."""
    return next((release for release in reversed(store(work).all()) if release.project == work.name), None)


def config_file_hashes(work: Work, names: frozenset[str]) -> dict[str, dict[str, str]]:
    """SHA-256 of every mounted configuration file and read-only directory, by service and path.

    Content that the file itself or the environment gives is there too, under its key, as a keyed hash.
    """
    stack = work.stack
    values = work.flattened().known
    return {
        name: hashes
        for name in stack.services
        if name in names
        and (hashes := _hashes(_files_of(stack, stack[name])) | _injected(work, stack[name], values))
    }


def _injected(work: Work, service: Service, values: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for section in ("configs", "secrets"):
        for entry in service.raw.get(section) or ():
            name = str(entry if isinstance(entry, str) else entry.get("source"))
            source = work.stack.section(section).get(name, {})
            content = source.get("content") or values.get(str(source.get("environment") or ""))
            if content is not None and not source.get("file"):
                found[f"{section}.{name}"] = work.home.keyed_hash(str(content))
    return found


def _files_of(stack: Stack, service: Service) -> list[Path]:
    paths = [Path(m.source) for m in service.mounts if m.kind == "bind" and m.source]
    for section in ("configs", "secrets"):
        for entry in service.raw.get(section) or ():
            source = stack.section(section).get(str(entry if isinstance(entry, str) else entry.get("source")), {})
            paths += [Path(str(source["file"]))] if source.get("file") else []
    directories = [Path(m.source) for m in service.mounts if m.kind == "bind" and m.source and m.read_only]
    return [path for path in paths if path.is_file()] + [path for path in directories if path.is_dir()]


def _hashes(paths: list[Path]) -> dict[str, str]:
    return {str(path): digest for path in paths if (digest := _digest(path))}


def _digest(path: Path) -> str:
    """SHA-256 of a file, or of all files below a directory; empty for what is too big to be configuration."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.stat().st_size <= BIGGEST else ""
    files = list(islice((file for file in path.rglob("*") if file.is_file()), MANY + 1))
    if len(files) > MANY or sum(file.stat().st_size for file in files) > BIGGEST:
        return ""
    lines = (f"{file.relative_to(path)} {hashlib.sha256(file.read_bytes()).hexdigest()}" for file in sorted(files))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def last_touched(path: Path) -> float:
    """The moment of the last change of a file, or of anything below a directory (epoch seconds)."""
    below = path.rglob("*") if path.is_dir() else ()
    return max((float(one.stat().st_ctime) for one in (path, *below)), default=0.0)


def draft(
    work: Work,
    kind: Literal["deploy", "rollback", "observed"],
    health: Mapping[str, Health],
    accepted: tuple[str, ...] = (),
    of: int | None = None,
) -> tuple[Release, str, dict[str, str]]:
    """A release of what is wanted now, with its flat file and its sources."""
    whole = work.flattened()
    flat = take_out(whole.text, work.redactor, work.home.keyed_hash)
    sources = {
        path: Path(path).read_text(encoding="utf-8") for path in (*work.project.files, *work.project.overlays)
    }
    names = frozenset(work.stack.services)
    keyed = work.home.keyed_hash
    release = Release(
        number=0 if kind == "observed" else 1,
        kind=kind,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        project=work.name,
        of=of,
        profiles=work.project.profiles,
        directory=work.project.directory or str(Path(work.project.files[0]).parent),
        files={path: hashlib.sha256(text.encode()).hexdigest() for path, text in sources.items()},
        images=_images(work),
        config_files=config_file_hashes(work, names),
        secrets={name: keyed(value) for name, value in whole.variables.items()},
        services={name: hide(s.raw, work.redactor, keyed) for name, s in work.stack.services.items()},
        health=dict(health),
        accepted=accepted,
    )
    return release, flat, {path: work.redactor.text(text) for path, text in sources.items()}


def _images(work: Work) -> dict[str, ImageRecord]:
    found = {}
    references = sorted({service.image for service in work.stack.services.values()})
    with ThreadPoolExecutor(8) as pool:
        here = dict(zip(references, pool.map(work.engine.image, references), strict=True))
    for name, service in work.stack.services.items():
        inspected = here[service.image]
        if inspected:
            digests = tuple(inspected.get("RepoDigests") or ())
            found[name] = ImageRecord(
                reference=service.image, id=str(inspected["Id"]), digests=digests, built_here=not digests
            )
    return found


def within(
    work: Work, made: tuple[Release, str, dict[str, str]], scope: Collection[str]
) -> tuple[Release, str, dict[str, str]]:
    """What was deployed, where that was not everything: the other services stay as they were recorded before."""
    release, flat, sources = made
    if set(work.stack.services) <= set(scope):
        return made
    before = last(work)
    then = ""
    if before is not None:
        file = store(work).directory(before.number) / FLAT
        then = file.read_text(encoding="utf-8") if before.schema_version == SCHEMA else flat
    whole = merged(flat, then, scope)
    deployed, recorded = names_used(merged(flat, "", scope)), before.secrets if before else {}
    today = {name: release.secrets[name] for name in deployed if name in release.secrets}
    secrets = release.secrets | recorded | today
    kept = {name: secrets[name] for name in names_used(whole) if name in secrets}
    return release.within(scope, before).model_copy(update={"secrets": kept}), whole, sources


def record(work: Work, made: tuple[Release, str, dict[str, str]]) -> Release:
    """Append a release and keep its images under tags of their own."""
    release = store(work).append(*made)
    keep_images(work, release)
    return release


def keep_images(work: Work, release: Release) -> None:
    """Tag a release's images where a run that died has not, and let go those that no kept release needs.

    An image that somebody removed is named and left: what is deployed next does not need it.
    """
    keep = f"{KEEP}/{release.project}"
    wanted = {f"{keep}:{name}-r{release.number}": image.id for name, image in release.images.items()}
    there = work.engine.tagged(keep)
    missing = {tag: image for tag, image in wanted.items() if there.get(tag) != image}
    if not missing:
        return
    here = work.engine.images(missing.values())
    lost = sorted(name for name, image in release.images.items() if image.id in here and not here[image.id])
    if lost:
        work.say("release", f"images of release {release.number} are gone, it cannot come back: {', '.join(lost)}")

    def keep_one(name: str) -> None:
        try:
            work.engine.tag(missing[name], name)
        except OpsError as error:
            work.say("release", f"{name} could not be kept: {error}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(keep_one, [name for name, image in missing.items() if here[image]]))
    kept = kept_images(store(work).all())
    for tag, image in there.items():
        if image not in kept:
            work.engine.untag(tag)


def find(work: Work, number: int | None) -> Release:
    """The release to go back to: the numbered one, else the one before the newest.

    Raises:
        Refused: There is none, or it is of another project.
    """
    every = store(work).all()
    other = next((one for one in every if one.number == number and one.project != work.name), None)
    if other is not None:
        raise Refused(
            f"release {number} is of another project, {other.project}; this is {work.name}",
            where=work.found.name,
            next=f"roll that one back by its name: --project-name {other.project}",
        )
    releases = [release for release in every if release.project == work.name]
    wanted = number if number is not None else (releases[-2].number if len(releases) > 1 else None)
    found = next((release for release in releases if release.number == wanted), None)
    if found is None:
        known = ", ".join(str(release.number) for release in releases) or "none"
        raise Refused(
            f"no release to go back to (there are: {known})", where=work.found.name, next="./ops releases"
        )
    return found


def give_back(work: Work, release: Release) -> tuple[ResolvedStack, ComposeCli, tuple[str, ...]]:
    """Make the recorded release deployable: its images under their tags, its files, today's secrets.

    Returns:
        The project made of the release's own file, what runs Compose on it, and the names of secrets that differ
        from then.

    Raises:
        Refused: It cannot come back whole; nothing was touched.
    """
    _refuse_what_cannot_come_back(work, release)
    file = store(work).directory(release.number) / FLAT
    flat = file.read_text(encoding="utf-8")
    secrets, written = _secrets_of_today(work, release, flat)
    env = work.state / "rollback.env"
    write_private(env, env_file_text({**secrets, **written.values}))
    project = Project((str(file),), work.name, (str(env),), profiles_of(flat), release.directory)
    cli = replace(work.cli, environment={}, without=passed_through(flat))
    cli.render(project)  # before the first tag moves
    for image in release.images.values():
        if "@" not in image.reference:
            work.engine.tag(image.id, image.reference)
    hashes = {name: work.home.keyed_hash(value) for name, value in secrets.items()}
    found = replace(work.found, project=project, environment={})
    return found, cli, (*changed_secrets(release, hashes), *written.differing)


def _refuse_what_cannot_come_back(work: Work, release: Release) -> None:
    another = "choose another release: ./ops releases"
    if release.schema_version != SCHEMA:
        raise Refused(
            f"release {release.number} has the form of an earlier version, which cannot be brought back exactly",
            where=work.found.name,
            next="change the files back and run ./ops deploy; every release from then on can be brought back",
        )
    if not release.restorable:
        unknown = ", ".join(sorted(set(release.images) - set(release.services)))
        raise Refused(
            f"release {release.number} was only observed; the files that {unknown} was made of are not known",
            where=work.found.name,
            next=another,
        )
    lost = [f"{name} ({i.reference})" for name, i in release.images.items() if not work.engine.image(i.id)]
    if lost:
        raise Refused(
            f"images of release {release.number} are gone: {', '.join(lost)}", where=work.found.name, next=another
        )


def _secrets_of_today(work: Work, release: Release, flat: str) -> tuple[dict[str, str], PutBack]:
    """Today's values of the variables in a release's file, and of the secrets that were written out then."""
    known = work.flattened().known
    names = [name for name in names_used(flat) if not name.startswith(PREFIX)]
    secrets = {name: known[name] for name in names if name in known}
    written = put_back(flat, work.stack.raw, work.redactor.values, work.home.keyed_hash)
    gone = [*(name for name in names if name in release.secrets and not secrets.get(name)), *written.gone]
    if gone:
        raise Refused(
            f"secrets that release {release.number} had are in today's files no more: {', '.join(gone)}",
            where=work.found.name,
            next="give them a value there, or in .env, and try again",
        )
    return secrets, written
