"""The files of a container, running or not, through the engine's archive interface."""

from __future__ import annotations

import base64
import io
import json
import stat
import tarfile
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import docker.errors

from compose.stack.preflight.images import Entry

_GO_DIRECTORY, _GO_LINK = 1 << 31, 1 << 27
"""Bits of Go's io/fs.FileMode, in which the engine tells an entry's kind."""

_LONGEST = 1024 * 1024


@dataclass(frozen=True)
class Files:
    """The files of one container.

    Args:
        api: The docker SDK's low-level client.
    """

    api: Any
    container: str

    def find(self, name: str, search: str) -> str:
        """Where a program is: the name itself if it is a path, else the first hit on the search path."""
        places = [name] if "/" in name else [f"{place}/{name}" for place in search.split(":") if place]
        return next((place for place in places if self._is_file(place)), "")

    def _is_file(self, path: str, depth: int = 8) -> bool:
        found = self.look(path)
        if found is None or found["mode"] & _GO_DIRECTORY:
            return False
        if not found["mode"] & _GO_LINK:
            return True
        target = str(found.get("linkTarget") or "")
        return depth > 0 and target not in ("", path) and self._is_file(target, depth - 1)

    def look(self, path: str) -> dict[str, Any] | None:
        """The engine's `ContainerPathStat` of a path, None when it is not there."""
        url = f"{self.api.base_url}/v{self.api.api_version}/containers/{self.container}/archive?path={quote(path)}"
        answer = self.api.head(url, timeout=self.api.timeout)
        if answer.status_code == 404:
            return None
        answer.raise_for_status()
        return dict(json.loads(base64.b64decode(answer.headers["X-Docker-Container-Path-Stat"])))

    def entry(self, path: str) -> Entry | None:
        """A path's kind and owner, from the first header of its archive."""
        first = self._first(path, 0)
        if first is None:
            return None
        header = first[0]
        kind = "directory" if header.isdir() else "link" if header.issym() else "file"
        return Entry(kind, header.uid, header.gid, stat.S_IMODE(header.mode))

    def text(self, path: str) -> str | None:
        """A small file's text, None when it is not there."""
        found = self._first(path, _LONGEST)
        return found[1].decode(errors="replace") if found and found[0].isfile() else None

    def _first(self, path: str, most: int) -> tuple[tarfile.TarInfo, bytes] | None:
        try:
            chunks, _ = self.api.get_archive(self.container, path, chunk_size=8192)
        except docker.errors.NotFound:
            return None
        memory = io.BytesIO()
        for chunk in chunks:
            memory.write(chunk)
            if memory.tell() >= 4096 + most or (most == 0 and memory.tell() >= 1024):
                break
        chunks.close()
        memory.seek(0)
        with tarfile.open(fileobj=memory, mode="r|", errorlevel=0) as archive:
            header = archive.next()
            if header is None:
                return None
            content = archive.extractfile(header) if most and header.isfile() else None
            return header, content.read() if content else b""
