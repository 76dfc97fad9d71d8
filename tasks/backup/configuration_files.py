"""The files that a stack's configuration consists of: found, read, and told apart by whether they hold secrets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from blocks.sources import read_sources
from compose.stack.backup.configuration import Pattern, holds_secret, ignore_patterns, is_ignored, looks_secret
from compose.stack.backup.facts import Facts
from compose.stack.backup.inventory import configuration_binds
from tasks.work import Work

BIGGEST = 64 * 1024 * 1024
BIGGEST_CONTEXT = 256 * 1024 * 1024
MOST_FILES = 20_000


@dataclass
class Collected:
    """Files by absolute path.

    Args:
        clear: Those that hold no secret.
        secret: The others.
        rights: Mode and owner of the files and of the directories above them: a mounted file is read by somebody.
        notes: What was left out, and why.
    """

    clear: dict[str, bytes] = field(default_factory=dict)
    secret: dict[str, bytes] = field(default_factory=dict)
    rights: dict[str, os.stat_result] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def collect(work: Work, facts: Facts) -> Collected:
    """Read everything that the stack's files name, as it was written."""
    found = Collected()
    secrets = set(_secret_paths(work))
    wanted = [*_sources(work), *configuration_binds(facts), *_declared(work, "configs")]
    for path in dict.fromkeys([*map(_absolute, wanted), *secrets]):
        for file in _files(path):
            _take(work, found, file, secret=path in secrets)
    for context in _contexts(work):
        _take_context(work, found, context)
    return found


def _absolute(path: str) -> str:
    return os.path.abspath(path)


def _sources(work: Work) -> list[str]:
    """Compose files, overlays, included and extended ones."""
    sources = read_sources(work.project, work.found.environment)
    paths = [document.document.path for document in sources.documents]
    return [*work.project.files, *work.project.overlays, *paths, *sources.extended]


def _secret_paths(work: Work) -> Iterator[str]:
    """Secret files, `.env`, and env files of the project, of includes and of services."""
    yield from map(_absolute, _declared(work, "secrets"))
    yield from map(_absolute, work.project.env_files)
    sources = read_sources(work.project, work.found.environment)
    yield from (path for path, kind in sources.paths.items() if kind == "file")
    directories = {document.directory for document in sources.documents}
    yield from (str(path) for place in directories if (path := Path(place, ".env")).is_file())


def _declared(work: Work, section: str) -> list[str]:
    """The files that a top-level section names."""
    bodies = work.stack.section(section).values()
    return [str(body["file"]) for body in bodies if body.get("file")]


def _contexts(work: Work) -> list[Path]:
    """Local build contexts, each once."""
    builds = (service.raw.get("build") for service in work.stack.services.values())
    paths = [Path(str(build["context"])) for build in builds if isinstance(build, dict) and build.get("context")]
    return [path for path in dict.fromkeys(paths) if path.is_dir()]


def _files(path: str) -> Iterator[Path]:
    """A file itself, or the regular files below a directory; links are not followed out of it."""
    place = Path(path)
    if place.is_dir():
        yield from (file for file in sorted(place.rglob("*")) if file.is_file() and not file.is_symlink())
    elif place.is_file():
        yield place


def _take(work: Work, found: Collected, file: Path, *, secret: bool) -> None:
    name = str(file)
    try:
        rights = {str(path): path.stat() for path in (file, *file.parents[:-1])}
        if rights[name].st_size > BIGGEST:
            found.notes.append(f"{name} is larger than {BIGGEST >> 20} MiB: not saved")
            return
        data = file.read_bytes()
    except OSError as error:
        found.notes.append(f"{name} cannot be read ({(error.strerror or str(error)).lower()}): not saved")
        return
    if secret or looks_secret(name) or holds_secret(data, work.redactor):
        found.secret[name] = data
        found.clear.pop(name, None)
    elif name not in found.secret:
        found.clear[name] = data
    found.rights |= rights


def _take_context(work: Work, found: Collected, context: Path) -> None:
    """A build context without what its .dockerignore leaves out; bounded, since its image is saved anyway."""
    ignore = context / ".dockerignore"
    patterns = ignore_patterns(ignore.read_text(errors="replace") if ignore.is_file() else "")
    files = list(_within(context, patterns))
    size = sum(file.stat().st_size for file in files)
    if len(files) > MOST_FILES or size > BIGGEST_CONTEXT:
        found.notes.append(f"build context {context}: {len(files)} files, {size >> 20} MiB: too big, not saved")
        return
    for file in files:
        _take(work, found, file, secret=False)


def _within(context: Path, patterns: tuple[Pattern, ...]) -> Iterator[Path]:
    for directory, names, files in os.walk(context):
        place = Path(directory)
        below = place.relative_to(context)
        names[:] = sorted(n for n in names if not _drops(patterns, (below / n).as_posix()))
        for name in sorted(files):
            path = place / name
            ignored = is_ignored(patterns, (below / name).as_posix())
            if not ignored and path.is_file() and not path.is_symlink():
                yield path


def _drops(patterns: tuple[Pattern, ...], path: str) -> bool:
    """Whether a whole directory may be passed over: nothing below it can be kept again."""
    keeps_some = any(pattern.keeps for pattern in patterns)
    return not keeps_some and is_ignored(patterns, path)
