"""What the Qdrant simulator keeps: collections, aliases and snapshots, as files."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
import threading
import time
from pathlib import Path
from typing import Any


class Wrong(Exception):
    """An answer other than success."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status = status


def write(path: Path, content: bytes) -> None:
    """Put a file in place in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


class Storage:
    """Collections, aliases and snapshots in two folders."""

    def __init__(self, storage: Path, snapshots: Path) -> None:
        self.collections, self.snapshots = storage / "collections", snapshots
        self.aliases_file = storage / "aliases" / "data.json"
        self.lock = threading.RLock()

    def names(self) -> list[str]:
        """Every collection."""
        return sorted(path.parent.name for path in self.collections.glob("*/config.json"))

    def aliases(self) -> dict[str, str]:
        """Collections by alias."""
        return dict(json.loads(self.aliases_file.read_text())) if self.aliases_file.exists() else {}

    def place(self, name: str) -> Path:
        """The folder of a collection or of the one behind an alias; 404 when there is none."""
        place = self.collections / self.aliases().get(name, name)
        if not (place / "config.json").exists():
            raise Wrong(404, f"Not found: Collection `{name}` doesn't exist!")
        return place

    def points(self, name: str) -> list[dict[str, Any]]:
        """Every point: numbers first, then UUIDs."""
        found = json.loads((self.place(name) / "points.json").read_text())
        return sorted(found, key=lambda point: (isinstance(point["id"], str), point["id"]))

    def config(self, name: str) -> dict[str, Any]:
        """What a collection was made with."""
        return dict(json.loads((self.place(name) / "config.json").read_text()))

    def create(self, name: str, body: dict[str, Any]) -> bool:
        """Make a collection."""
        if name in self.names():
            raise Wrong(409, f"Wrong input: Collection `{name}` already exists!")
        if "vectors" not in body:
            raise Wrong(400, "Wrong input: vectors are missing")
        write(self.collections / name / "points.json", b"[]")
        write(self.collections / name / "config.json", json.dumps(body).encode())
        return True

    def remove(self, name: str) -> bool:
        """Remove a collection and its aliases; False when it is not there."""
        if name not in self.names():
            return False
        shutil.rmtree(self.collections / name)
        self._keep_aliases({alias: to for alias, to in self.aliases().items() if to != name})
        return True

    def upsert(self, name: str, points: list[dict[str, Any]]) -> dict[str, Any]:
        """Add points, or replace those whose id is there."""
        size = self.config(name)["vectors"].get("size")
        for point in points:
            vector = point.get("vector")
            if isinstance(vector, list) and size is not None and len(vector) != size:
                raise Wrong(400, f"Wrong input: Vector dimension error: expected dim: {size}, got {len(vector)}")
        held = {str(point["id"]): point for point in self.points(name)}
        held |= {str(point["id"]): {"payload": None, **point} for point in points}
        write(self.place(name) / "points.json", json.dumps(list(held.values())).encode())
        return {"operation_id": len(held), "status": "completed"}

    def change_aliases(self, actions: list[dict[str, dict[str, str]]]) -> bool:
        """Carry out all actions, or none."""
        aliases = self.aliases()
        for action in actions:
            ((kind, how),) = action.items()
            if kind == "create_alias":
                aliases[how["alias_name"]] = self.place(how["collection_name"]).name
            elif kind == "delete_alias":
                aliases.pop(how["alias_name"], None)
            elif kind == "rename_alias" and how["old_alias_name"] in aliases:
                aliases[how["new_alias_name"]] = aliases.pop(how["old_alias_name"])
            else:
                raise Wrong(400, f"Wrong input: {kind}")
        self._keep_aliases(aliases)
        return True

    def snapshot(self, name: str) -> dict[str, Any]:
        """Save a collection, without its aliases, as Qdrant does."""
        place, moment = self.place(name), time.time()
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for file in ("config.json", "points.json"):
                archive.add(place / file, file)
        path = self.snapshots / place.name / f"{place.name}-{int(moment * 1000)}.snapshot"
        write(path, buffer.getvalue())
        return self.described(path)

    def described(self, path: Path) -> dict[str, Any]:
        """What is told of a snapshot."""
        made = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(path.stat().st_mtime))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return {"name": path.name, "creation_time": made, "size": path.stat().st_size, "checksum": digest}

    def saved(self, name: str, snapshot: str) -> Path:
        """The file of a snapshot; 404 when there is none."""
        path = self.snapshots / self.place(name).name / snapshot
        if not path.is_file():
            raise Wrong(404, f"Not found: Snapshot {snapshot} not found")
        return path

    def recover(self, name: str, content: bytes, checksum: str) -> bool:
        """Put a collection back as a snapshot has it; nothing changes when that is not whole."""
        if checksum and hashlib.sha256(content).hexdigest() != checksum:
            raise Wrong(400, "Wrong input: Snapshot checksum mismatch")
        try:
            with tarfile.open(fileobj=io.BytesIO(content)) as archive:
                files = {member.name: archive.extractfile(member) for member in archive}
            bodies = {file: (files[file] or io.BytesIO()).read() for file in ("points.json", "config.json")}
        except (tarfile.TarError, KeyError, ValueError, OSError) as error:
            raise Wrong(400, f"Wrong input: the snapshot cannot be read ({error})") from error
        for file, body in bodies.items():
            write(self.collections / name / file, body)
        return True

    def _keep_aliases(self, aliases: dict[str, str]) -> None:
        write(self.aliases_file, json.dumps(aliases).encode())
