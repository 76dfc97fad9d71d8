"""The stores' images that are built without a registry do what the upstream ones do, run by the stores' file."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml

from tests import engine_state, simulators
from tests.addresses import free_ports, free_subnet
from tests.engine_state import docker
from tests.services_lab import until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1500)]

COMPOSE = Path(__file__).resolve().parents[2] / "compose"
FILES = ("docker-compose.stores.yml", "docker-compose.stores.offline.yml")
BUILT = ("neo4j", "faiss", "prometheus", "workspace")
SERVICES = (*BUILT, "qdrant")
PORTS = ("NEO4J_HTTP", "NEO4J_BOLT", "FAISS", "PROMETHEUS", "QDRANT", "QDRANT_GRPC")
TOKEN = "canary-token-77aa"


@dataclass(frozen=True)
class Started:
    """The running project: where each service is published, and the password of Neo4j."""

    project: str
    ports: dict[str, int]
    password: str

    def container(self, service: str) -> str:
        """The name of a service's container."""
        return f"{self.project}-{service}-1"

    def client(self, port: str) -> httpx.Client:
        """A client of a published port, with the token."""
        url = f"http://127.0.0.1:{self.ports[port]}"
        return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60)

    def cypher(self, statement: str, password: str = "") -> str:
        """What cypher-shell prints, over Bolt; an AssertionError when it fails."""
        login = ("--env", "NEO4J_USERNAME=neo4j", "--env", f"NEO4J_PASSWORD={password or self.password}")
        return docker(
            "exec", *login, self.container("neo4j"), "cypher-shell", "--format", "plain", statement
        ).strip()

    def healthy(self, service: str) -> bool:
        """Whether the engine says so."""
        state = docker("inspect", "--format", "{{.State.Health.Status}}", self.container(service))
        return state.strip() == "healthy"


def call(*argv: str, env: dict[str, str]) -> None:
    """Run a command; what it printed is in the error."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env={**os.environ, **env})
    assert done.returncode == 0, f"{' '.join(argv)}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """The stores in a project of their own, Qdrant simulated; removed with its volumes."""
    project = f"t-stores-{os.getpid()}"
    here = Started(project, dict(zip(PORTS, free_ports(len(PORTS)), strict=True)), secrets.token_urlsafe())
    env = {
        "NEO4J_PASSWORD": here.password,
        "GRAFANA_PASSWORD": "unused",
        "SECRET_KEY": "unused",
        "API_TOKEN": TOKEN,
        "OPS_STORES_SUBNET": free_subnet(),
        **{f"{name}_PORT": str(port) for name, port in here.ports.items()},
    }
    simulated = tmp_path_factory.mktemp("stores") / "simulated.yml"
    simulated.write_text(yaml.safe_dump({"services": {"qdrant": {"image": simulators.qdrant_image()}}}))
    files = [word for file in FILES for word in ("--file", str(COMPOSE / file))]
    compose = ("docker", "compose", *files, "--file", str(simulated), "--profile", "qdrant")
    call(str(COMPOSE / "images" / "base" / "build"), env=env)
    # The images keep the project's name: under another one than the stack's own they would get new ids.
    call("docker", "compose", *files, "--project-name", "sutazai", "build", "--quiet", *BUILT, env=env)
    try:
        call(*compose, "--project-name", project, "up", "--detach", "--wait", *SERVICES, env=env)
        yield here
    finally:
        engine_state.remove(project)
        simulators.remove_images()


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_runs_without_privileges(started: Started, service: str) -> None:
    """Not root, nothing to write but its data, no capability, no secret among the arguments of any process."""
    name = started.container(service)
    facts = json.loads(docker("inspect", name))[0]
    assert docker("exec", name, "id", "-u").strip() != "0"
    assert facts["HostConfig"]["ReadonlyRootfs"]
    status = docker("exec", name, "cat", "/proc/1/status")
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    arguments = docker("top", name, "-o", "pid,args") + json.dumps(facts["Args"])
    assert started.password not in arguments
    assert TOKEN not in arguments
    anonymous = [m["Name"] for m in facts["Mounts"] if m["Type"] == "volume" and started.project not in m["Name"]]
    assert not anonymous


def test_neo4j_keeps_data_and_the_first_password(started: Started) -> None:
    """A clean end in seconds; NEO4J_AUTH counts at the first start only; what was written is there again."""
    started.cypher("CREATE (:Kept {value: 7})")
    with pytest.raises(AssertionError, match="unauthorized"):
        started.cypher("RETURN 1", password="another-password")
    began = time.monotonic()
    docker("stop", "--time", "60", started.container("neo4j"))
    assert time.monotonic() - began < 20
    state = docker("inspect", "--format", "{{.State.ExitCode}}", started.container("neo4j"))
    assert state.strip() in ("0", "143")
    docker("start", started.container("neo4j"))
    until(lambda: started.healthy("neo4j"), 240)
    assert started.cypher("MATCH (n:Kept) RETURN n.value").split() == ["n.value", "7"]


def test_neo4j_is_dumped_checked_and_loaded(started: Started) -> None:
    """Stopped, in a container of its own on the same volume; a dump that was cut does not pass the check."""
    started.cypher("CREATE (:Dumped {value: 8})")
    docker("stop", "--time", "60", started.container("neo4j"))
    backups = f"{started.project}_backups"
    docker("volume", "create", "--label", f"{engine_state.PROJECT}={started.project}", backups)

    def admin(*words: str) -> str:
        # A new volume on /logs belongs to the image's user, as that folder does.
        mounts = ("--volume", f"{started.project}_neo4j_data:/data", "--volume", f"{backups}:/logs")
        hardened = ("--read-only", "--cap-drop", "ALL", "--tmpfs", "/tmp:exec")
        return docker("run", "--rm", *hardened, *mounts, "sutazai/neo4j:5.26.30", *words)

    admin("neo4j-admin", "database", "dump", "*", "--to-path=/logs", "--overwrite-destination=true")
    check = ("neo4j-admin", "database", "check", "neo4j", "--temp-path=/tmp")
    admin(*check, "--from-path=/logs")
    admin("bash", "-c", "mkdir /logs/cut && head -c 2000 /logs/neo4j.dump > /logs/cut/neo4j.dump")
    with pytest.raises(AssertionError):
        admin(*check, "--from-path=/logs/cut")
    docker("start", started.container("neo4j"))
    until(lambda: started.healthy("neo4j"), 240)
    started.cypher("MATCH (n:Dumped) DELETE n")
    docker("stop", "--time", "60", started.container("neo4j"))
    admin("neo4j-admin", "database", "load", "neo4j", "--from-path=/logs", "--overwrite-destination=true")
    docker("start", started.container("neo4j"))
    until(lambda: started.healthy("neo4j"), 240)
    assert started.cypher("MATCH (n:Dumped) RETURN n.value").split() == ["n.value", "8"]


def test_faiss_loses_nothing_that_it_answered(started: Started) -> None:
    """Killed in the middle of writes: every vector whose write was answered is there, nothing is damaged."""
    answered: list[int] = []

    def fill() -> None:
        with started.client("FAISS") as client:
            while True:
                body = {"index": "killed", "vectors": [[len(answered), 1.0]] * 50}
                try:
                    reply = client.post("/add_vectors", json=body).raise_for_status().json()
                except httpx.TransportError:
                    return
                answered.append(reply["ntotal"])

    with started.client("FAISS") as client:
        client.post("/create_index", json={"index": "killed", "dimension": 2}).raise_for_status()
        writer = threading.Thread(target=fill)
        writer.start()
        until(lambda: len(answered) > 5)
        docker("kill", "--signal", "KILL", started.container("faiss"))
        writer.join(60)
        docker("start", started.container("faiss"))
        until(lambda: client.get("/health").json()["status"] == "healthy")
        (index,) = client.get("/indexes").json()["indexes"]
        assert answered[-1] <= index["ntotal"] <= answered[-1] + 50
        found = client.post("/search", json={"index": "killed", "vectors": [[1.0, 1.0]], "k": 1}).json()
        assert found["results"][0][0]["score"] == 0
    docker("exec", started.container("faiss"), "python", "-m", "faiss_service.check")


def test_faiss_is_quiet_while_it_is_copied(started: Started) -> None:
    """A write waits until the quiet time is called off, and then succeeds."""
    with started.client("FAISS") as client:
        client.post("/create_index", json={"index": "quiet", "dimension": 1}).raise_for_status()
        assert client.post("/quiesce", params={"seconds": 60}).raise_for_status().json()["quiet_for"] > 50
        status: list[int] = []
        body = {"index": "quiet", "vectors": [[1.0]]}
        with started.client("FAISS") as other:
            writer = threading.Thread(
                target=lambda: status.append(other.post("/add_vectors", json=body).status_code)
            )
            writer.start()
            writer.join(1)
            assert not status
            client.post("/quiesce", params={"seconds": 0}).raise_for_status()
            writer.join(60)
        assert status == [200]


def test_prometheus_measures_and_makes_snapshots(started: Started) -> None:
    """It scrapes itself; the admin interface that backups need is there."""
    with started.client("PROMETHEUS") as client:
        asked = {"query": 'up{job="prometheus"}'}
        found = until(lambda: client.get("/api/v1/query", params=asked).json()["data"]["result"])
        assert found[0]["value"][1] == "1"
        made = client.post("/api/v1/admin/tsdb/snapshot").raise_for_status().json()["data"]["name"]
    docker("exec", started.container("prometheus"), "test", "-d", f"/prometheus/snapshots/{made}")


def test_the_simulated_qdrant_stands_where_the_real_one_would(started: Started) -> None:
    """Its folder is on the volume; it says that it is a simulator."""
    with started.client("QDRANT") as client:
        assert "simulator" in client.get("/").json()["title"]
        client.put("/collections/notes", json={"vectors": {"size": 1}}).raise_for_status()
        client.post("/collections/notes/snapshots").raise_for_status()
    docker("exec", started.container("qdrant"), "test", "-s", "/qdrant/storage/collections/notes/config.json")
