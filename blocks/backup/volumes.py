"""Reading what lies on a volume, under a bind mount or in a container's own layer."""

from __future__ import annotations

import os
import re
import secrets
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import docker.errors
from docker.types import Mount

from blocks.backup.trees import PIECE, Changed, Content
from blocks.container_files import Files
from blocks.engine import Engine, talking
from blocks.facts import is_local
from blocks.stores.scratch import holder_label
from blocks.tar_end import Watched
from compose.stack.backup.archive_format import Entry, Kind
from compose.stack.backup.component import Place
from compose.stack.errors import Failed

INSIDE = "/ops-volume"
_KINDS: dict[bytes, Kind] = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.DIRTYPE: "directory",
    tarfile.SYMTYPE: "symlink",
    tarfile.LNKTYPE: "hardlink",
}
XATTR = "SCHILY.xattr."


def local_path(engine: Engine, place: Place, image: str = "") -> Path | None:
    """The directory of this host that is a volume or bind mount for sure; None where that cannot be told.

    The engine may run elsewhere, or in a container of its own: what it sees there and what we see here must
    have the same change time, to the nanosecond, and the same mode. Links on the way are resolved: it is never
    one itself.

    Args:
        image: Any that is here; one is looked for when empty.
    """
    if not is_local(engine) or place.kind not in ("volume", "anonymous", "bind"):
        return None
    lies = place.source if place.kind == "bind" else _volume_path(engine, place.source)
    if not lies:
        return None
    path = Path(os.path.realpath(lies))
    if os.geteuid() != 0 and not _readable(path):
        return None
    try:
        with mounted(engine, place, image) as container:
            return path if _looks_alike(engine, container, path) else None
    except (Failed, OSError):  # the engine, or this host, does not have it: whoever reads it will be told
        return None


def _looks_alike(engine: Engine, container: str, path: Path) -> bool:
    """Whether the engine and we see the same; asked again, since its program may write it just now."""
    for _ in range(3):
        with talking():
            told = Files(engine.client.api, container).look(INSIDE)
        here = path.stat()
        if told and _same(told, here.st_mtime_ns, here.st_mode):
            return True
    return False


def _readable(path: Path) -> bool:
    """Whether this user may read all of it: what a service keeps to itself is read through the engine."""
    failed: list[OSError] = []
    if not os.access(path, os.R_OK):
        return False
    for place, _, names in os.walk(path, onerror=failed.append):
        files = (os.path.join(place, name) for name in names)
        if failed or not all(os.path.islink(file) or os.access(file, os.R_OK) for file in files):
            return False
    return not failed


def _volume_path(engine: Engine, volume: str) -> str:
    with talking():
        return lasting_path(engine.client.api.inspect_volume(volume))


def lasting_path(volume: Mapping[str, Any]) -> str:
    """Where a volume's files lie on the engine's host whether or not a container uses it; empty for nowhere.

    What the engine mounts for a volume (`driver_opts` with a type or device, other drivers) lies at its mount
    point only while a container runs with it, and an empty directory of the same name does afterwards.

    Args:
        volume: As `docker volume inspect` gives it.
    """
    options = {str(key): str(value) for key, value in (volume.get("Options") or {}).items()}
    if volume.get("Driver") != "local":
        return ""
    if not (options.get("type") or options.get("device")):
        return str(volume.get("Mountpoint") or "")
    bound = {"bind", "rbind"} & set(options.get("o", "").split(","))
    device = options.get("device", "")
    return device if bound and device.startswith("/") else ""


def _same(told: dict[str, Any], mtime: int, mode: int) -> bool:
    return nanoseconds(str(told.get("mtime"))) == mtime and int(told["mode"]) & 0o777 == mode & 0o777


def nanoseconds(text: str) -> int:
    """A moment as Go writes it (RFC 3339, up to nine digits), in nanoseconds since 1970; -1 for anything else."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", text)
    if not match:
        return -1
    moment, fraction, zone = match.groups()
    whole = datetime.fromisoformat(moment + zone.replace("Z", "+00:00")).astimezone(UTC)
    return int(whole.timestamp()) * 10**9 + int((fraction or "0").ljust(9, "0"))


@contextmanager
def mounted(engine: Engine, place: Place, image: str = "") -> Iterator[str]:
    """A container that is never started and has a volume or host path mounted read-only; its id.

    Raises:
        Failed: There is no image at all, or the engine refused.
    """
    api = engine.client.api
    with talking():
        chosen = image if image and engine.image(image) else _any_image(engine)
        made = api.create_container(
            chosen,
            command=["true"],
            name=f"t-volume-{secrets.token_hex(6)}",
            labels=holder_label(),
            host_config=api.create_host_config(mounts=[_mount(place)]),
            network_disabled=True,
        )["Id"]
    try:
        yield made
    finally:
        with talking():
            api.remove_container(made, v=True, force=True)


def _mount(place: Place) -> Mount:
    """A path that is not there is refused: the engine would make an empty directory of the short form."""
    return Mount(INSIDE, place.source, type="bind" if place.kind == "bind" else "volume", read_only=True)


def _any_image(engine: Engine) -> str:
    found = engine.client.api.images(quiet=True)
    if not found:
        raise Failed("no image is here: a volume is read through a container of one", next="docker images")
    return str(found[0])


@contextmanager
def volume_stream(engine: Engine, place: Place, image: str = "") -> Iterator[Iterator[bytes]]:
    """A volume or host path as the engine's own tar stream, wherever the engine is."""
    try:
        with mounted(engine, place, image) as container, layer_stream(engine, container, INSIDE) as chunks:
            yield chunks
    except Gone:
        raise Failed("the engine did not mount it", where=place.source, next="docker volume inspect") from None


class Gone(Exception):
    """A path of a container is not there any more, as of a socket that its program removes at its end."""


@contextmanager
def layer_stream(engine: Engine, container: str, path: str) -> Iterator[Iterator[bytes]]:
    """A path of a container, running or not, as the engine's tar stream.

    Raises:
        Gone: The container is there, and has no such path.
        Failed: The container is not there, or the engine went away.
    """
    with talking():
        try:
            chunks, _ = engine.client.api.get_archive(container, path, chunk_size=PIECE)
        except docker.errors.NotFound:
            if engine.inspect(container) is None:
                raise
            raise Gone(path) from None
    try:
        yield _talking(chunks)
    finally:
        chunks.close()


def _talking(chunks: Iterable[bytes]) -> Iterator[bytes]:
    with talking():
        yield from chunks


class _Stream:
    """A file-like over chunks."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._rest = chunks, memoryview(b"")

    def read(self, size: int) -> bytes:
        """The next bytes, fewer only at the end."""
        parts: list[bytes] = []
        while size > 0:
            if not self._rest:
                chunk = next(self._chunks, None)
                if chunk is None:
                    break
                self._rest = memoryview(chunk)
            piece = self._rest[:size]
            parts.append(bytes(piece))
            self._rest = self._rest[len(piece) :]
            size -= len(piece)
        return b"".join(parts)


@dataclass
class TarTree:
    """A tree that comes as the engine's tar stream; read once.

    Args:
        chunks: The stream.
        below: Where its paths lie in the tree that is saved: `etc/x` for a layer, empty for a volume.
        name: What a file is called that is all of it.
    """

    chunks: Iterator[bytes]
    below: str = ""
    name: str = ""
    skipped: list[str] = field(default_factory=list)

    def walk(self) -> Iterator[tuple[Entry, Content | None]]:
        """See `trees.Tree`."""
        watched = Watched(_Stream(self.chunks))
        stream: Any = watched
        try:
            with tarfile.open(fileobj=stream, mode="r|", bufsize=PIECE) as opened:
                for member in opened:
                    kind = _KINDS.get(member.type)
                    if kind is None:
                        self.skipped.append(member.name)
                        continue
                    yield self._entry(member, kind), _content(opened, member) if kind == "file" else None
                watched.require_end(opened)
        except tarfile.TarError as error:
            raise Failed(f"the engine's archive broke off: {error}", next="the same backup again") from None

    def _entry(self, member: tarfile.TarInfo, kind: Kind) -> Entry:
        exact = member.pax_headers.get("mtime", "")
        mtime = int(float(member.mtime) * 10**9) if not exact else _exact(exact)
        link = self._path(member.linkname) if kind == "hardlink" else member.linkname if kind == "symlink" else ""
        attributes = {
            name.removeprefix(XATTR): value.encode("utf-8", "surrogateescape").decode("latin-1")
            for name, value in member.pax_headers.items()
            if name.startswith(XATTR)
        }
        inside = self._path(member.name)
        path = self.name if inside == "." and kind == "file" else inside
        return Entry(
            path, kind, member.mode & 0o7777, member.uid, member.gid, mtime,
            member.size if kind == "file" else 0, link, attributes,
        )  # fmt: skip

    def _path(self, name: str) -> str:
        """The engine puts the last word of what was asked for in front."""
        inside = name.strip("/").partition("/")[2]
        return "/".join(part for part in (self.below, inside) if part) or "."


def _exact(text: str) -> int:
    seconds, _, fraction = text.partition(".")
    return int(seconds) * 10**9 + int(fraction[:9].ljust(9, "0") or "0")


def _content(opened: tarfile.TarFile, member: tarfile.TarInfo) -> Content:
    def read() -> Iterator[bytes]:
        file = opened.extractfile(member)
        left = member.size
        while file is not None and left > 0 and (piece := file.read(min(PIECE, left))):
            left -= len(piece)
            yield piece
        if left:
            raise Changed

    return read
