"""The images that are built without a registry do what they are for, under the light stack's own restrictions."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest
import redis
import yaml

from tests.addresses import free_ports, free_subnet

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1500)]

COMPOSE = Path(__file__).resolve().parents[2] / "compose"
FILES = ("docker-compose.tinyllama.yml", "docker-compose.offline.yml")
SERVICES = ("postgres", "redis", "chromadb", "ollama", "model-registry", "nginx")
AWKWARD = "'\"\\ $$end"  # characters that a shell, an env file or a configuration could trip over


@dataclass(frozen=True)
class Started:
    """The running project: where each service is published, and the passwords it was given."""

    project: str
    ports: dict[str, int]
    postgres_password: str
    redis_password: str

    def container(self, service: str) -> str:
        """The name of a service's container."""
        return f"{self.project}-{service}-1"

    def url(self, service: str) -> str:
        """Where a service answers HTTP."""
        return f"http://127.0.0.1:{self.ports[service]}"


def run(*argv: str, env: dict[str, str] | None = None) -> str:
    """Run a command and return its output; what it printed is in the error."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env={**os.environ, **(env or {})})
    assert done.returncode == 0, f"{' '.join(argv)}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def started() -> Iterator[Started]:
    """The six services in a project of their own; it is removed with its volumes."""
    project = f"t-images-{os.getpid()}"
    keys = dict(zip(("postgres", "redis", "chromadb", "ollama", "nginx"), free_ports(5), strict=True))
    here = Started(project, keys, "pg" + AWKWARD, "redis" + AWKWARD)
    env = {
        "POSTGRES_PASSWORD": here.postgres_password,
        "REDIS_PASSWORD": here.redis_password,
        "SECRET_KEY": secrets.token_urlsafe(),
        "API_TOKEN": secrets.token_urlsafe(),
        "OPS_SUBNET": free_subnet(),
        "HTTP_PORT": str(keys["nginx"]),
        **{f"{name.upper()}_PORT": str(port) for name, port in keys.items() if name != "nginx"},
    }
    files = tuple(word for file in FILES for word in ("--file", str(COMPOSE / file)))
    compose = ("docker", "compose", *files, "--project-name", project)
    run(str(COMPOSE / "images" / "base" / "build"))
    # Compose writes the project's name into an image: under another one than the stack's own
    # the images would get new ids, and a stack that runs would be made again for nothing.
    run("docker", "compose", *files, "--project-name", "sutazai", "build", "--quiet", *SERVICES, env=env)
    try:
        run(*compose, "up", "--detach", "--wait", "--no-deps", *SERVICES, env=env)
        yield here
    finally:
        run(*compose, "down", "--volumes", "--timeout", "10", env=env)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_runs_without_privileges(started: Started, service: str) -> None:
    """Not root, a root file system that cannot be written, no capability, no password among the arguments."""
    name = started.container(service)
    facts = json.loads(run("docker", "inspect", name))[0]
    assert run("docker", "exec", name, "id", "-u").strip() != "0"
    assert facts["HostConfig"]["ReadonlyRootfs"]
    assert facts["HostConfig"]["CapDrop"] == ["ALL"]
    status = run("docker", "exec", name, "cat", "/proc/1/status")
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    arguments = run("docker", "exec", name, "cat", "/proc/1/cmdline") + json.dumps(facts["Args"])
    assert started.postgres_password not in arguments
    assert started.redis_password not in arguments
    assert facts["Config"]["Labels"]["org.sutazai.origin"] == "built"


def test_postgres_answers_a_query_only_with_the_password(started: Started) -> None:
    """Version 16 with the settings of the file and pgvector; a wrong password is refused."""
    where = {"host": "127.0.0.1", "port": started.ports["postgres"], "user": "sutazai", "dbname": "sutazai"}
    with psycopg.connect(**where, password=started.postgres_password) as connection:
        assert connection.info.server_version // 10000 == 16
        assert connection.execute("SHOW shared_buffers").fetchone() == ("128MB",)
        assert connection.execute("SHOW data_checksums").fetchone() == ("on",)
        connection.execute("CREATE EXTENSION vector")
        assert connection.execute("SELECT '[3,4]'::vector <-> '[0,0]'").fetchone() == (5.0,)
        connection.rollback()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(**where, password="wrong")


def test_redis_keeps_what_it_is_given(started: Started) -> None:
    """The password is asked for, the limit is the file's, and the append-only log survives a restart."""
    client = redis.Redis(port=started.ports["redis"], password=started.redis_password)
    assert client.ping()
    assert client.config_get("maxmemory") == {"maxmemory": str(128 * 1024 * 1024)}
    assert client.config_get("appendonly") == {"appendonly": "yes"}
    client.set("kept", "yes")
    run("docker", "restart", started.container("redis"))
    client = redis.Redis(
        port=started.ports["redis"],
        password=started.redis_password,
        retry=redis.retry.Retry(redis.backoff.ConstantBackoff(0.1), 100),
        retry_on_error=[redis.exceptions.ConnectionError, redis.exceptions.BusyLoadingError],
    )
    assert client.get("kept") == b"yes"
    with pytest.raises(redis.exceptions.AuthenticationError):
        redis.Redis(port=started.ports["redis"]).ping()


def test_chroma_finds_what_was_put_in(started: Started) -> None:
    """Heartbeat, a collection, two vectors, the nearest one; the data lies on the volume."""
    database = "/api/v2/tenants/default_tenant/databases/default_database/collections"
    with httpx.Client(base_url=started.url("chromadb")) as client:
        assert client.get("/api/v2/heartbeat").json()["nanosecond heartbeat"] > 0
        made = client.post(database, json={"name": "probe"}).raise_for_status().json()["id"]
        vectors = {"ids": ["a", "b"], "embeddings": [[1.0, 0.0], [0.0, 1.0]]}
        client.post(f"{database}/{made}/add", json=vectors).raise_for_status()
        asked = {"query_embeddings": [[0.9, 0.1]], "n_results": 1}
        found = client.post(f"{database}/{made}/query", json=asked).raise_for_status().json()
        assert found["ids"] == [["a"]]
        client.delete(f"{database}/probe").raise_for_status()
    mounts = json.loads(run("docker", "inspect", "--format", "{{json .Mounts}}", started.container("chromadb")))
    volumes = {mount["Destination"]: mount["Name"] for mount in mounts if mount["Type"] == "volume"}
    assert volumes == {"/var/tmp": f"{started.project}_chromadb_data"}
    run("docker", "exec", started.container("chromadb"), "test", "-s", "/var/tmp/chroma.sqlite3")


def test_the_demonstration_model_is_pulled_and_answers(started: Started) -> None:
    """A real pull from the registry, the digest of the catalogue, and words that say what the model is."""
    models = yaml.safe_load((COMPOSE / "models.yaml").read_text())["models"]
    known = next(model for model in models if model["demonstration"])
    with httpx.Client(base_url=started.url("ollama"), timeout=60) as client:
        pull = {"model": known["source"], "insecure": True, "stream": False}
        assert client.post("/api/pull", json=pull).json() == {"status": "success"}
        (listed,) = client.get("/api/tags").json()["models"]
        assert (listed["name"], "sha256:" + listed["digest"]) == (known["name"], known["digest"])
        assert listed["size"] == known["size"]
        ask = {"model": known["name"], "prompt": "Who are you?", "stream": False}
        answer = client.post("/api/generate", json=ask).raise_for_status().json()
        assert answer["eval_count"] >= 1
        assert "demonstration" in answer["response"]


def test_nginx_serves_without_its_backends(started: Started) -> None:
    """Its own health answers; what it cannot reach is 502 at once, and it does not end."""
    with httpx.Client(base_url=started.url("nginx")) as client:
        assert client.get("/nginx-health").status_code == 200
        assert client.get("/health").status_code == 502
        assert client.get("/").status_code == 502
