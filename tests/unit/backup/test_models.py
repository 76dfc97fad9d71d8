"""Manifests of models: what they name, where they can be had again; anything else is refused."""

import json

import pytest

from compose.stack.backup.models import parse_model
from compose.stack.errors import Failed

A, B = "a" * 64, "b" * 64


def manifest(**layer):
    body = {
        "config": {"digest": f"sha256:{B}", "size": 3},
        "layers": [{"digest": f"sha256:{A}", "size": 5, **layer}],
    }
    return json.dumps(body).encode()


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("manifests/registry.ollama.ai/library/tinyllama/latest", "tinyllama:latest"),
        ("manifests/registry.ollama.ai/someone/x/1", "someone/x:1"),
        ("manifests/models:5000/team/x/1", "models:5000/team/x:1"),
    ],
)
def test_a_model_is_called_as_people_call_it(path, name):
    """By its short name where it is of the public library, else with its registry."""
    model = parse_model(path, manifest())
    assert model.name == name
    assert model.blobs == ((A, 5), (B, 3))
    assert model.again == path.split("/")[1]


def test_one_that_was_made_here_can_be_had_nowhere_else():
    """A layer that says from which file it was made."""
    path = "manifests/registry.ollama.ai/library/mine/latest"
    assert parse_model(path, manifest(**{"from": "/tmp/x.gguf"})).again == ""


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("manifests/h/n/m/t", b"{"),
        ("manifests/h/n/m/t", b"[]"),
        ("manifests/h/n/m/t", b'{"layers": 3}'),
        ("manifests/h/n/m/t", b'{"layers": [{"digest": "sha256:../../etc/passwd", "size": 1}]}'),
        ("manifests/h/../m/t", manifest()),
        ("manifests/x", manifest()),
    ],
)
def test_what_is_no_manifest_is_refused_by_name(path, text):
    """Broken files, digests that are paths, paths that lead elsewhere."""
    with pytest.raises(Failed, match="manifests/"):
        parse_model(path, text)
