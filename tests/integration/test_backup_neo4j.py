"""Neo4j: dumped while it is stopped, ready again before anything is written away, and the dump loads."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import urllib.request

import pytest

from blocks.backup.stop_journal import StopJournal
from blocks.polling import poll
from compose.stack.errors import Failed
from tasks.backup.procedures import procedure_for
from tasks.backup.stopping import Stopper
from tests import images
from tests.engine_state import docker
from tests.saving_lab import component, laboratory, network, opened, saving

pytestmark = [pytest.mark.engine, pytest.mark.stack]
IMAGE = "sutazai/neo4j:5.26.30"
SECRET = "a-secret-for-tests"
PROJECT = f"""
services:
  graph:
    image: {IMAGE}
    environment:
      NEO4J_AUTH: neo4j/{SECRET}
      NEO4J_server_memory_heap_max__size: 200m
    volumes: ["data:/data"]
    tmpfs: ["/logs:uid=7474,gid=7474"]
    stop_grace_period: 60s
    x-ops: {{role: neo4j, probe: {{tcp: {{port: 7687}}}}, ready_within: 200}}
volumes: {{data: {{}}}}
"""


def cypher(container, query):
    """The one value that a query gives; empty while the server does not answer."""
    where = docker("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", container).strip()
    login = base64.b64encode(f"neo4j:{SECRET}".encode()).decode()
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {login}"}
    body = json.dumps({"statements": [{"statement": query}]}).encode()
    request = urllib.request.Request(f"http://{where}:7474/db/neo4j/tx/commit", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return str(json.loads(answer.read())["results"][0]["data"][0]["row"][0])
    except (OSError, ValueError, IndexError):
        return ""


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    if not images.present(IMAGE):
        pytest.skip(f"{IMAGE} is not here: ./ops deploy --stack stores builds it")
    with laboratory(tmp_path_factory.mktemp("neo4j")) as lab:
        project = lab.scratch("t-neo4j", PROJECT + network(43))
        assert lab.deploy(project).exit_code == 0
        name = f"{project.name}-graph-1"
        made = "UNWIND range(1, 500) AS n CREATE (:Thing {number: n})-[:NEXT]->(:Other) RETURN count(*)"
        assert poll(lambda: cypher(name, "RETURN 1") == "1", 200)
        assert cypher(name, made) == "500"
        yield lab, project, opened(lab, project)


def test_every_database_is_dumped_and_loads_into_another_server(scene, tmp_path):
    """Both databases, users included; started again before they are written; a query gives the same answer."""
    _, project, work = scene
    name = f"{project.name}-graph-1"
    given = saving(work, component(work, "graph"), tmp_path / "spool", Stopper(work))
    procedure = procedure_for(given)
    try:
        procedure.open()
        assert poll(lambda: cypher(name, "MATCH (n:Thing) RETURN count(n)") == "500", 100, every=0.5)
        assert StopJournal(work.home).empty
        saved = procedure.save()
    finally:
        procedure.close()
    print("downtime", saved.downtime)
    assert set(given.files.plain) == {"graph/neo4j.dump", "graph/system.dump"}
    assert set(saved.fingerprint["databases"]) == {"neo4j", "system"}
    assert saved.downtime is not None
    assert saved.tool_version == "5.26.30"
    assert not list((tmp_path / "spool").iterdir())
    assert not [n for n in docker("ps", "-a", "--format", "{{.Names}}").split() if n.startswith("t-one-off")]
    assert _answer_of(given.files.plain["graph/neo4j.dump"], tmp_path) == "500"


def _answer_of(dump, place):
    """Load a dump into a scratch server and ask it."""
    (place / "dumps").mkdir()
    (place / "dumps" / "neo4j.dump").write_bytes(dump)
    place.chmod(0o755)
    for parent in (place / "dumps", place / "dumps" / "neo4j.dump"):
        parent.chmod(0o777)
    volume = "t-neo4j-scratch"
    try:
        docker("volume", "create", volume)
        load = "neo4j-admin database load neo4j --from-path=/dumps --overwrite-destination=true"
        docker("run", "--rm", "-v", f"{volume}:/data", "-v", f"{place}/dumps:/dumps:ro", IMAGE, *load.split())
        docker("run", "-d", "--name", volume, "-v", f"{volume}:/data", "-e",
               f"NEO4J_AUTH=neo4j/{SECRET}", IMAGE)  # fmt: skip
        assert poll(lambda: cypher(volume, "RETURN 1") == "1", 200, every=0.5)
        return cypher(volume, "MATCH (n:Thing)-[:NEXT]->(:Other) RETURN count(n)")
    finally:
        subprocess.run(["docker", "rm", "-f", "-v", volume], capture_output=True, check=False)
        subprocess.run(["docker", "volume", "rm", "-f", volume], capture_output=True, check=False)


def test_a_limit_that_is_reached_kills_the_dump_and_brings_the_server_back(scene, tmp_path):
    """The tool has the store's files open: it goes first, then the server starts."""
    _, project, work = scene
    stopper = Stopper(work)
    began = []

    def limit(_):
        began.append(1)
        return 3.0

    stopper.limit_of = limit
    given = saving(work, component(work, "graph"), tmp_path / "spool", stopper)
    procedure = procedure_for(given)
    with pytest.raises(Failed, match=re.compile("longer than|killed|does not end")):
        procedure.open()
    procedure.close()
    assert poll(
        lambda: cypher(f"{project.name}-graph-1", "MATCH (n:Thing) RETURN count(n)") == "500", 100, every=1
    )
    assert not [n for n in docker("ps", "-a", "--format", "{{.Names}}").split() if n.startswith("t-one-off")]


def test_after_a_kill_it_is_ended_once_more(scene, tmp_path):
    """A store that was killed is dumped all the same: started, stopped cleanly."""
    _, project, work = scene
    name = f"{project.name}-graph-1"
    docker("kill", name)
    docker("start", name)
    assert poll(lambda: cypher(name, "RETURN 1") == "1", 200, every=0.5)
    given = saving(work, component(work, "graph"), tmp_path / "spool", Stopper(work))
    procedure = procedure_for(given)
    try:
        procedure.open()
        procedure.save()
    finally:
        procedure.close()
    assert "graph/neo4j.dump" in given.files.plain
