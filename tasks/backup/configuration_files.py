"""The files that a stack's configuration consists of: found, read, and told apart by whether they hold secrets."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from blocks.sources import read_sources
from compose.stack.backup.configuration import Pattern, holds_secret, ignore_patterns, is_ignored, looks_secret
from compose.stack.backup.facts import Facts
from compose.stack.backup.inventory import configuration_binds, data_binds
from compose.stack.errors import Failed
from compose.stack.preflight.data_paths import covers
from tasks.work import Work

SHOWN = 10
BIGGEST = 64 * 1024 * 1024
BIGGEST_CONTEXT = 256 * 1024 * 1024
MOST_FILES = 20_000


@dataclass
class Collected:
    """Files by absolute path.

    Args:
        clear: Those that hold no secret.
        secret: The others.
        links: What links inside of directories lead to; they are not followed.
        rights: Mode and owner of the files and of the directories above them: a mounted file is read by somebody.
        failed: What should be here and is not, and why.
    """

    clear: dict[str, bytes] = field(default_factory=dict)
    secret: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    rights: dict[str, os.stat_result] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def whole(self) -> None:
        """See that nothing is missing.

        Raises:
            Failed: Something is, by name.
        """
        if self.failed:
            more = f"; and {len(self.failed) - SHOWN} more" if len(self.failed) > SHOWN else ""
            raise Failed(
                "; ".join(self.failed[:SHOWN]) + more, where="configuration",
                next="make it readable or smaller, or waive its path in x-ops.backup.waive of the compose file",
            )  # fmt: skip


def collect(work: Work, facts: Facts) -> Collected:
    """Read everything that the stack's files name, as it was written.

    What is waived by its path is left out, and so is data of services that lies inside of a directory of these.
    """
    found = Collected()
    waived = _waived(work)
    apart = [*waived, *data_binds(work.stack, facts)]
    secrets = set(_secret_paths(work))
    wanted = [*_sources(work), *configuration_binds(work.stack, facts), *_declared(work, "configs")]
    for path in dict.fromkeys([*map(_absolute, wanted), *secrets]):
        if _covered(waived, path):
            continue
        for file in _files(path, found.failed, apart):
            _take(work, found, file, path, secret=path in secrets)
    for context in _contexts(work):
        if not _covered(waived, str(context)):
            _take_context(work, found, context, apart)
    return found


def _waived(work: Work) -> list[str]:
    """The paths that the compose file's `x-ops.backup.waive` names: absolute, or from the project's directory."""
    base = work.project.directory or os.path.dirname(work.project.files[0])
    return [os.path.abspath(os.path.join(base, key)) for key in work.stack.hints.backup.waive if "/" in key]


def _covered(waived: list[str], path: str) -> bool:
    return any(covers(one, path) for one in waived)


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


def _files(path: str, failed: list[str], apart: list[str]) -> Iterator[Path]:
    """A file itself, or the files and links below a directory; nothing where nothing is."""
    place = Path(path)
    try:
        mode = place.stat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        failed.append(_unread(path, error))
        return
    if stat.S_ISDIR(mode):
        yield from _below(place, failed, apart)
    elif stat.S_ISREG(mode):
        yield place


def _below(root: Path, failed: list[str], apart: list[str], patterns: tuple[Pattern, ...] = ()) -> Iterator[Path]:
    """Regular files and links; links are not followed.

    Args:
        apart: Paths that are left out with what is below them.
        patterns: Leave out more.
    """
    walk = os.walk(root, onerror=lambda error: failed.append(_unread(str(error.filename), error)))
    for directory, names, files in walk:
        place = Path(directory)
        below = place.relative_to(root)
        links = [name for name in names if (place / name).is_symlink()]
        names[:] = sorted(
            name
            for name in names
            if name not in links
            and not _covered(apart, str(place / name))
            and not _drops(patterns, (below / name).as_posix())
        )
        for name in sorted([*files, *links]):
            path = place / name
            left = _covered(apart, str(path)) or is_ignored(patterns, (below / name).as_posix())
            if not left and (path.is_symlink() or path.is_file()):
                yield path


def _unread(path: str, error: OSError) -> str:
    return f"{path} cannot be read ({(error.strerror or str(error)).lower()})"


def _take(work: Work, found: Collected, file: Path, path: str, *, secret: bool) -> None:
    """One file; a link is followed where it was named itself.

    Args:
        path: What was named.
    """
    name = str(file)
    try:
        rights = {str(above): above.stat() for above in file.parents[:-1]}
        if name != path and file.is_symlink():
            found.links[name] = os.readlink(file)
            found.rights |= rights | {name: file.lstat()}
            return
        rights[name] = file.stat()
        if rights[name].st_size > BIGGEST:
            found.failed.append(f"{name} is larger than {BIGGEST >> 20} MiB")
            return
        data = file.read_bytes()
    except OSError as error:
        found.failed.append(_unread(name, error))
        return
    if secret or looks_secret(name) or holds_secret(data, work.redactor):
        found.secret[name] = data
        found.clear.pop(name, None)
    elif name not in found.secret:
        found.clear[name] = data
    found.rights |= rights


def _take_context(work: Work, found: Collected, context: Path, apart: list[str]) -> None:
    """A build context without what its .dockerignore leaves out; bounded, since it lies in memory."""
    ignore = context / ".dockerignore"
    try:
        patterns = ignore_patterns(ignore.read_text(errors="replace") if ignore.is_file() else "")
    except OSError as error:
        found.failed.append(_unread(str(ignore), error))
        return
    files = list(_below(context, found.failed, apart, patterns))
    size = sum(file.lstat().st_size for file in files)
    if len(files) > MOST_FILES or size > BIGGEST_CONTEXT:
        what = f"build context {context} is too big with {len(files)} files and {size >> 20} MiB"
        found.failed.append(f"{what} (its .dockerignore leaves out)")
        return
    for file in files:
        _take(work, found, file, str(context), secret=False)


def _drops(patterns: tuple[Pattern, ...], path: str) -> bool:
    """Whether a whole directory may be passed over: nothing below it can be kept again."""
    keeps_some = any(pattern.keeps for pattern in patterns)
    return not keeps_some and is_ignored(patterns, path)
