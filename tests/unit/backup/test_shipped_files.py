"""The compose files that come with this product: every volume of the document is there, and none is waived."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import compose

ROOT = Path(compose.__file__).parent
DOCUMENT = (
    "postgres_data", "redis_data", "neo4j_data", "chromadb_data", "qdrant_data", "faiss_data", "ollama_data",
    "models_data", "prometheus_data", "grafana_data", "loki_data", "agent_workspaces", "agent_outputs",
)  # fmt: skip
FILES = sorted(ROOT.glob("docker-compose*.yml"))


class Loader(yaml.SafeLoader):
    """Reads Compose's own tags (`!override`) as what they stand before."""


def _plain(loader: Loader, _suffix: str, node: yaml.Node) -> object:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    return loader.construct_sequence(node, deep=True) if isinstance(node, yaml.SequenceNode) else node.value


Loader.add_multi_constructor("!", _plain)


def read(path: Path) -> dict:  # type: ignore[type-arg]
    """One file."""
    return dict(yaml.load(path.read_text(encoding="utf-8"), Loader) or {})


def test_every_volume_of_the_document_is_declared() -> None:
    """Section 4.1: thirteen of them."""
    declared = {name for path in FILES for name in read(path).get("volumes") or {}}
    assert set(DOCUMENT) - declared == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_volume_is_waived(path: Path) -> None:
    """Neither by the file as a whole nor by a service."""
    file = read(path)
    assert not ((file.get("x-ops") or {}).get("backup") or {}).get("waive")
    for name, service in (file.get("services") or {}).items():
        waived = ((service.get("x-ops") or {}).get("backup") or {}).get("waive") or {}
        targets = {str(volume).split(":")[1] for volume in service.get("volumes") or () if ":" in str(volume)}
        assert not targets & set(waived), name
