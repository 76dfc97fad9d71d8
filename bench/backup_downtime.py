"""How long each store that has to stop stands still."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.backup_site import Site, component, keeper, site
from bench.machine import fill
from bench.place import REPOSITORY, Place
from bench.tally import Row, Tally
from tests.images import BUSYBOX, present

CHROMA, NEO4J, FAISS = "sutazai/chromadb:1.5.9", "sutazai/neo4j:5.26.30", "sutazai/faiss:17.0.0"
FILES = "volume-files"
ROWS = (
    Row("stands still: Chroma, new", "down: chroma"),
    Row("stands still: Neo4j, new", "down: neo4j"),
    Row("stands still: the FAISS service, new", "down: faiss"),
    Row("stands still: a plain volume of {half}, its service ready at once", f"down: {FILES}"),
)


def _listens(port: int) -> dict[str, Any]:
    test = ["CMD", "bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port}"]
    return {"test": test, "interval": "30s", "start_period": "120s", "start_interval": "1s"}


def services() -> dict[str, dict[str, Any]]:
    """The stores whose images are here."""
    made = {"files": keeper(BUSYBOX, "files", pool=False)}
    if present(CHROMA):
        made["chroma"] = {
            "image": CHROMA,
            "user": "10001:10001",
            "command": ["run", "--path", "/var/tmp", "--host", "0.0.0.0", "--port", "8000"],
            "environment": {"HOME": "/tmp"},
            "volumes": ["chroma:/var/tmp"],
            "healthcheck": _listens(8000),
        }
    if present(NEO4J):
        made["neo4j"] = {
            "image": NEO4J,
            "environment": {
                "NEO4J_AUTH": "neo4j/of-a-bench-only",
                "NEO4J_server_memory_heap_max__size": "256m",
                "NEO4J_server_memory_pagecache_size": "64m",
            },
            "volumes": ["neo4j:/data", f"{REPOSITORY}/compose/config/neo4j/neo4j.conf:/conf/neo4j.conf:ro"],
            "stop_grace_period": "60s",
            "healthcheck": _listens(7687),
        }
    if present(FAISS):
        made["faiss"] = {
            "image": FAISS,
            "environment": {"API_TOKEN": "of-a-bench-only-and-long-enough"},
            "volumes": ["faiss:/data"],
            "healthcheck": _listens(8000),
            "x-ops": {"role": "faiss"},
        }
    return made


@contextmanager
def filled(place: Place, size: int) -> Iterator[Site]:
    """New stores, and a volume of so many bytes."""
    made_of = services()
    with site(place, "t-bench-backup-down", made_of, tuple(made_of)) as made:
        fill(made.directory("files"), size, 16)
        yield made


def measure(made: Site, tally: Tally) -> None:
    """Every one of them once."""
    for service in services():
        name = FILES if service == "files" else service
        made.fresh()
        tally.add(f"down: {name}", float(component(made.backup(name), name)["downtime"]))
    made.fresh()
