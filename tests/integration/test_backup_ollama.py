"""A real Ollama server: its models into the pool while it runs, and into another server that answers alike."""

from __future__ import annotations

import contextlib
import json
import subprocess
import urllib.request

import pytest

from blocks.backup.volumes import local_path
from blocks.polling import poll
from compose.stack.backup.component import Place
from compose.stack.errors import Failed
from tasks.backup.procedures import procedure_for
from tasks.backup.stopping import Stopper
from tests import images
from tests.engine_state import docker
from tests.saving_lab import component, laboratory, network, opened, saving
from tests.saving_pool import PoolLab, filed

pytestmark = [pytest.mark.engine, pytest.mark.stack]
IMAGE, REGISTRY = "sutazai/ollama:0.17.4", "sutazai/model-registry:1"
MODEL = "registry:5000/sutazai/demonstration:1"
PROJECT = f"""
services:
  registry:
    image: {REGISTRY}
    read_only: true
    tmpfs: ["/tmp:mode=1777"]
    x-ops: {{probe: {{tcp: {{port: 5000}}}}}}
  ollama:
    image: {IMAGE}
    user: "10001:10001"
    environment: {{HOME: /var/tmp/home, OLLAMA_MODELS: /var/tmp/models, OLLAMA_NOPRUNE: "1", OLLAMA_NO_CLOUD: "1",
      OLLAMA_HOST: "0.0.0.0:11434"}}
    volumes: ["models:/var/tmp"]
    tmpfs: ["/tmp:mode=1777"]
    x-ops: {{role: ollama, probe: {{http: {{port: 11434, path: /api/version}}}}}}
volumes: {{models: {{}}}}
"""


def call(where, path, body, method="POST"):
    """One request of Ollama's API."""
    data = json.dumps(body).encode()
    request = urllib.request.Request(
        f"http://{where}:11434{path}", data, {"Content-Type": "application/json"}, method=method
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.loads(answer.read() or b"{}")


def address(name):
    return docker("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name).strip()


def said(where, model):
    options = {"temperature": 0, "num_predict": 8, "num_thread": 1}
    body = {"model": model, "prompt": "hello", "stream": False, "options": options}
    return call(where, "/api/generate", body)["response"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    for image in (IMAGE, REGISTRY):
        if not images.present(image):
            pytest.skip(f"{image} is not here: ./ops up --until images builds it")
    with laboratory(tmp_path_factory.mktemp("ollama")) as lab:
        project = lab.scratch("t-ollama", PROJECT + network(44))
        assert lab.deploy(project).exit_code == 0
        where = address(f"{project.name}-ollama-1")
        assert call(where, "/api/pull", {"model": MODEL, "insecure": True, "stream": False})["status"] == "success"
        call(where, "/api/copy", {"source": MODEL, "destination": "mine:latest"})
        yield project, opened(lab, project), where


@pytest.fixture
def models(scene):
    """The server's models directory on this host, as it was afterwards."""
    project, work, _ = scene
    root = local_path(work.engine, Place("volume", f"{project.name}_models", "/var/tmp"))
    assert root is not None
    return root / "models"


def saved(work, lab, spool, *, reread=False):
    with lab.backup(reread=reread) as pool:
        given = saving(work, component(work, "ollama"), spool, Stopper(work, guarded=False))
        given.pool = pool
        procedure = procedure_for(given)
        try:
            procedure.open()
            return given.files, procedure.save()
        finally:
            procedure.close()


def test_models_come_back_in_another_server(scene, tmp_path):
    """Blobs and manifests out of the pool into an empty volume: listed alike, and the same text is generated."""
    _, work, where = scene
    lab = PoolLab(tmp_path)
    files, told = saved(work, lab, tmp_path / "spool")
    tags = {one["name"]: one["digest"] for one in call(where, "/api/tags", {}, "GET")["models"]}
    assert {name: one["digest"] for name, one in told.fingerprint["models"].items()} == tags
    assert told.fingerprint["models"][MODEL]["again_from"] == "registry:5000"
    assert told.downtime is None
    lines = filed(files, "ollama")
    assert [line["path"].split("/")[0] for line in lines if line["kind"] == "file"][-1] == "manifests"
    assert not [line for line in lines if "id_ed25519" in line["path"]]
    with another_server(lab, lines) as scratch:
        assert {one["name"]: one["digest"] for one in call(scratch, "/api/tags", {}, "GET")["models"]} == tags
        assert said(scratch, MODEL) == said(where, MODEL)


@contextlib.contextmanager
def another_server(lab, lines):
    """A server whose models come out of the pool alone, by standard tools; its address."""
    name = "t-ollama-scratch"
    place = lab.place / "models"
    pool = next((lab.place / "target").rglob("pool"))
    for line in lines:
        to = place / line["path"]
        if line["kind"] == "directory":
            to.mkdir(parents=True, exist_ok=True)
            continue
        to.parent.mkdir(parents=True, exist_ok=True)
        blob = pool / line["blob"]
        data = blob.read_bytes()
        if blob.suffix == ".zst":
            data = subprocess.run(["zstd", "-dc"], input=data, capture_output=True, check=True).stdout
        to.write_bytes(data)
    subprocess.run(["chown", "-R", "10001:10001", str(place)], check=True)
    lab.place.chmod(0o755)
    try:
        given = (
            "--user",
            "10001:10001",
            "-e",
            "HOME=/tmp",
            "-e",
            "OLLAMA_MODELS=/models",
            "-v",
            f"{place}:/models",
        )
        docker(
            "run", "-d", "--name", name, *given, "-e", "OLLAMA_HOST=0.0.0.0:11434", "-e", "OLLAMA_NOPRUNE=1", IMAGE
        )
        where = address(name)
        assert poll(lambda: alive(where), 60)
        yield where
    finally:
        subprocess.run(["docker", "rm", "-f", "-v", name], capture_output=True, check=False)


def alive(where):
    with contextlib.suppress(OSError):
        return bool(call(where, "/api/version", {}, "GET"))
    return False


def test_a_second_backup_copies_nothing(scene, tmp_path):
    """Two models on the same blobs are stored once; the second time no byte is new."""
    _, work, _ = scene
    lab = PoolLab(tmp_path)
    _, first = saved(work, lab, tmp_path / "spool")
    blobs = lab.blobs
    assert first.pool.new_bytes == sum(blobs.values())
    _, second = saved(work, lab, tmp_path / "spool")
    assert (second.pool.new_blobs, second.pool.new_bytes) == (0, 0)
    assert lab.blobs == blobs
    assert second.fingerprint == first.fingerprint


def test_unfinished_downloads_and_what_no_model_names_stay_out(scene, models, tmp_path):
    """They are counted in the notes."""
    _, work, _ = scene
    partial, orphan = models / "blobs" / f"sha256-{'a' * 64}-partial", models / "blobs" / f"sha256-{'b' * 64}"
    partial.write_bytes(b"x")
    orphan.write_bytes(b"y")
    try:
        files, told = saved(work, PoolLab(tmp_path), tmp_path / "spool")
    finally:
        partial.unlink()
        orphan.unlink()
    assert not [line for line in filed(files, "ollama") if "partial" in line["path"] or "b" * 64 in line["path"]]
    assert len([note for note in told.notes if "left out" in note]) == 3


def test_a_damaged_blob_fails_by_the_model_s_name(scene, models, tmp_path):
    """A flipped byte that the server itself does not notice; a missing blob likewise."""
    _, work, _ = scene
    blob = max((models / "blobs").glob("sha256-*"), key=lambda path: path.stat().st_size)
    whole = blob.read_bytes()
    try:
        blob.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(Failed, match=r"is damaged on the server's disk"):
            saved(work, PoolLab(tmp_path / "one"), tmp_path / "spool")
        blob.unlink()
        with pytest.raises(Failed, match="is missing"):
            saved(work, PoolLab(tmp_path / "two"), tmp_path / "spool")
    finally:
        blob.write_bytes(whole)
        subprocess.run(["chown", "10001:10001", str(blob)], check=True)
