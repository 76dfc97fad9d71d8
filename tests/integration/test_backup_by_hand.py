"""Everything is gone but one backup and its key: a person pastes RUNBOOK.md, and the stack is back."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from blocks.home import Home
from blocks.polling import poll
from compose.stack.backup.request import BackupRequest
from compose.stack.errors import Exit
from flows.backup_stack import backup_stack
from flows.walker import ThreadRunner
from tasks.backup import keys
from tests import engine_state, images
from tests.engine_state import docker
from tests.lab import Lab
from tests.projects import ComposeProject
from tests.saving_lab import address
from tests.store_lab import need

pytestmark = [pytest.mark.engine, pytest.mark.stack]

CANARY = "canary-of-the-runbook"
OLLAMA, REGISTRY = "sutazai/ollama:0.17.4", "sutazai/model-registry:1"
MODEL = "registry:5000/sutazai/demonstration:1"
COLLECTIONS = "/api/v2/tenants/default_tenant/databases/default_database/collections"
TOKEN = f"{CANARY}-token-long-enough"
SCRAPE = (
    "printf 'scrape_configs: [{job_name: p, scrape_interval: 1s, static_configs: [{targets: [127.0.0.1:9090]}]}]'"
)
FLAGS = "--storage.tsdb.path=/prometheus --web.enable-admin-api"
STACK = f"""
services:
  db:
    image: sutazai/postgres:16.14
    environment: {{POSTGRES_USER: boss, POSTGRES_PASSWORD: "${{DB_PASSWORD}}", POSTGRES_DB: shop}}
    volumes: [pg:/var/lib/postgresql/data]
    healthcheck: {{test: [CMD, pg_isready, -h, 127.0.0.1], interval: 9s, start_period: 30s, start_interval: 1s}}
  cache:
    image: sutazai/redis:7.0
    command:
      - sh
      - -c
      - 'printf "requirepass %s\\ndir /data\\nappendonly yes\\n" "$$REDIS_PASSWORD" | redis-server -'
    environment: {{REDIS_PASSWORD: "${{REDIS_SECRET}}"}}
    volumes: [cache:/data]
  vectors:
    image: sutazai/chromadb:1.5.9
    user: "10001:10001"
    command: [run, --path, /var/tmp, --host, 0.0.0.0, --port, "8000"]
    environment: {{HOME: /tmp}}
    volumes: [vectors:/var/tmp]
    tmpfs: ["/tmp:size=64m,mode=1777"]
    x-ops: {{role: chromadb, probe: {{http: {{port: 8000, path: /api/v2/heartbeat, status: 200}}}}}}
  graph:
    image: sutazai/neo4j:5.26.30
    environment: {{NEO4J_AUTH: "neo4j/${{GRAPH_PASSWORD}}", NEO4J_server_memory_heap_max__size: 200m}}
    volumes: [graph:/data]
    tmpfs: ["/logs:uid=7474,gid=7474"]
    stop_grace_period: 60s
    x-ops: {{role: neo4j, probe: {{tcp: {{port: 7687}}}}, ready_within: 200}}
  registry:
    image: {REGISTRY}
    read_only: true
    tmpfs: ["/tmp:mode=1777"]
    x-ops: {{probe: {{tcp: {{port: 5000}}}}}}
  models:
    image: {OLLAMA}
    user: "10001:10001"
    environment: {{HOME: /var/tmp/home, OLLAMA_MODELS: /var/tmp/models, OLLAMA_NOPRUNE: "1", OLLAMA_NO_CLOUD: "1",
      OLLAMA_HOST: "0.0.0.0:11434"}}
    volumes: [models:/var/tmp]
    tmpfs: ["/tmp:mode=1777"]
    x-ops: {{role: ollama, probe: {{http: {{port: 11434, path: /api/version}}}}}}
  faiss:
    image: sutazai/faiss:17.0.0
    environment: {{API_TOKEN: "{TOKEN}"}}
    volumes: [faiss:/data]
    x-ops: {{role: faiss, probe: {{http: {{port: 8000, path: /health, status: 200}}}}}}
  metrics:
    image: sutazai/prometheus:2.42
    entrypoint: [sh, -c]
    command: ["{SCRAPE} > /tmp/p.yml; exec prometheus --config.file=/tmp/p.yml {FLAGS}"]
    volumes: [metrics:/prometheus]
    x-ops: {{role: prometheus, probe: {{http: {{port: 9090, path: /-/ready, status: 200}}}}}}
  legacy:
    image: {images.BUSYBOX}
    user: "1234:1234"
    init: true
    command: [sh, -c, "cat /etc/shop.conf && exec sleep 3600"]
    volumes: ["old:/data", "./shop.conf:/etc/shop.conf:ro"]
  depot:
    image: {images.BUSYBOX}
    init: true
    command: [sleep, "3600"]
    volumes: ["depot:/data", "./uploads:/uploads"]
    x-ops: {{backup: {{pool: true}}}}
  idle:
    image: {images.BUSYBOX}
    init: true
    command: [sleep, "3600"]
    deploy: {{replicas: 2}}
volumes: {{pg: {{}}, cache: {{}}, vectors: {{}}, graph: {{}}, models: {{}}, old: {{}}, faiss: {{}}, metrics: {{}},
  depot: {{}}}}
networks: {{default: {{ipam: {{config: [{{subnet: 10.214.68.0/24}}]}}}}}}
"""
SECRETS = f"DB_PASSWORD={CANARY}-1\nREDIS_SECRET={CANARY}-2\nGRAPH_PASSWORD={CANARY}-3\n"
LOOK = "cat /data/link; find /data -exec stat -c '%n %A %u %g %h' {} +"
ROOT = ("exec", "-u", "0")
SETTLED = 5.0
"""Seconds after which no scrape is under way any more."""


class Shop:
    """The stack, as people use it."""

    def __init__(self, project: ComposeProject) -> None:
        self.project = project

    def name(self, service: str, number: int = 1) -> str:
        """A container's name."""
        return f"{self.project.name}-{service}-{number}"

    def sql(self, script: str, database: str = "shop", user: str = "boss") -> str:
        """What PostgreSQL says over the network, with a password."""
        login = f"PGPASSWORD={CANARY}-1"
        words = ("psql", "-h", "127.0.0.1", "-U", user, "-d", database, "-v", "ON_ERROR_STOP=1", "-Atc", script)
        return docker("exec", "-e", login, self.name("db"), *words).strip()

    def redis(self, *words: str) -> str:
        """What Redis says."""
        login = f"REDISCLI_AUTH={CANARY}-2"
        return docker("exec", "-e", login, self.name("cache"), "redis-cli", *words).strip()

    def call(self, service: str, port: int, path: str, body: Any = None, login: str = "") -> Any:
        """What an HTTP service answers; None while it does not."""
        where = address(self.name(service))
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://{where}:{port}{path}", data, {"Content-Type": "application/json"}
        )
        if login:
            request.add_header("Authorization", login)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.loads(answer.read() or b"null")
        except OSError:
            return None

    def cypher(self, query: str) -> Any:
        """The one value that a query of the graph gives; None while it does not answer."""
        login = f"Basic {base64.b64encode(f'neo4j:{CANARY}-3'.encode()).decode()}"
        said = self.call("graph", 7474, "/db/neo4j/tx/commit", {"statements": [{"statement": query}]}, login)
        return said["results"][0]["data"][0]["row"][0] if said and said["results"] else None

    def fill(self) -> None:
        """Something of everything that a store can hold, and that a careless restore loses."""
        self.sql("CREATE TABLE orders AS SELECT i, md5(i::text) AS what FROM generate_series(1, 5000) i")
        self.sql(f"CREATE ROLE reports LOGIN PASSWORD '{CANARY}-1'")
        self.sql("CREATE DATABASE \"fig'ures of 'all'\" OWNER reports")
        self.sql("CREATE TABLE sums AS SELECT 42 AS sum", "fig'ures of 'all'", "reports")
        self.redis("set", "key", "value")
        self.redis("expire", "key", "86400")
        self.redis("set", "number", "7")
        assert poll(lambda: self.cypher("RETURN 1") == 1, 200, every=0.5)
        assert self.cypher("UNWIND range(1, 500) AS n CREATE (:Thing {number: n}) RETURN count(*)") == 500
        made = self.call("vectors", 8000, COLLECTIONS, {"name": "knowledge"})
        body = {"ids": ["a", "b"], "embeddings": [[1.0, 2.0], [5.0, 6.0]]}
        self.call("vectors", 8000, f"{COLLECTIONS}/{made['id']}/add", body)
        pull = {"model": MODEL, "insecure": True, "stream": False}
        assert self.call("models", 11434, "/api/pull", pull)["status"] == "success"
        things = {"index": "things", "dimension": 2, "metric": "l2"}
        self.call("faiss", 8000, "/create_index", things, f"Bearer {TOKEN}")
        added = {"index": "things", "vectors": [[1.0, 2.0], [5.0, 6.0]]}
        self.call("faiss", 8000, "/add_vectors", added, f"Bearer {TOKEN}")
        assert poll(lambda: self.scraped(time.time() - SETTLED) > 2, 60)
        script = (
            "mkdir -p /data/deep/er; chmod 750 /data/deep; echo precious > /data/deep/file; cd /data;"
            " ln -s deep/file link; ln deep/file deep/er/same; chmod 640 deep/file; chown -R 1234:1234 /data"
        )
        for service in ("legacy", "depot"):
            docker(*ROOT, self.name(service), "sh", "-c", script)
        docker(*ROOT, self.name("depot"), "sh", "-c", "echo photo > /uploads/a.jpg; chown 7:7 /uploads/a.jpg")
        for number in (1, 2):
            docker(*ROOT, self.name("idle", number), "sh", "-c", f"echo written by {number} > /note")

    def scraped(self, at: float) -> int:
        """How often the metrics were written down in the hour before a moment."""
        path = f"/api/v1/query?query=count_over_time(up[1h])&time={at}"
        found = self.call("metrics", 9090, path)
        return int(found["data"]["result"][0]["value"][1]) if found and found["data"]["result"] else 0

    def holds(self) -> dict[str, object]:
        """Everything that was put in, asked through the front doors."""
        found = self.call("vectors", 8000, f"{COLLECTIONS}/knowledge")
        query = {"query_embeddings": [[5.0, 6.1]], "n_results": 1, "include": []}
        nearest = self.call("vectors", 8000, f"{COLLECTIONS}/{found['id']}/query", query)
        tags = self.call("models", 11434, "/api/tags")
        options = {"temperature": 0, "num_predict": 4, "num_thread": 1}
        prompt = {"model": MODEL, "prompt": "hello", "stream": False, "options": options}
        asked = {"index": "things", "vectors": [[5.0, 6.1]], "k": 1}
        return {
            "orders": self.sql("SELECT count(*), max(what) FROM orders"),
            "sums": self.sql("SELECT sum FROM sums", "fig'ures of 'all'", "reports"),
            "owner": self.sql("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname LIKE 'fig%all'''"),
            "redis": [self.redis("get", "key"), self.redis("get", "number"), self.redis("dbsize")],
            "expires": int(self.redis("ttl", "key")) > 0,
            "graph": self.cypher("MATCH (n:Thing) RETURN sum(n.number)"),
            "nearest": nearest["ids"],
            "faiss": self.call("faiss", 8000, "/search", asked, f"Bearer {TOKEN}"),
            "models": {one["name"]: one["digest"] for one in tags["models"]},
            "said": self.call("models", 11434, "/api/generate", prompt)["response"],
            "legacy": docker("exec", self.name("legacy"), "sh", "-c", LOOK),
            "depot": docker("exec", self.name("depot"), "sh", "-c", LOOK),
            "uploads": docker("exec", self.name("depot"), "sh", "-c", "cd /uploads; cat a.jpg; stat -c %u *"),
            "settings": docker("exec", self.name("legacy"), "cat", "/etc/shop.conf"),
            "notes": [docker("exec", self.name("idle", number), "cat", "/note") for number in (1, 2)],
        }  # fmt: skip


@pytest.fixture
def shop(lab: Lab) -> Shop:
    """The stack with its data."""
    for image in ("postgres:16.14", "redis:7.0", "chromadb:1.5.9", "neo4j:5.26.30", "faiss:17.0.0"):
        need(f"sutazai/{image}")
    need("sutazai/prometheus:2.42")
    need(OLLAMA)
    need(REGISTRY)
    project = lab.scratch("by-hand", STACK, {".env": SECRETS, "shop.conf": "colour = blue\n"})
    Path(project.path(".env")).chmod(0o600)
    assert lab.deploy(project).exit_code == Exit.DONE
    shop = Shop(project)
    shop.fill()
    return shop


def test_the_runbook_alone_brings_everything_back(lab: Lab, shop: Shop, tmp_path: Path) -> None:
    """No line of ours runs: containers, volumes, files and state directory are gone; standard tools alone."""
    before, moment = shop.holds(), time.time() - SETTLED
    scraped = shop.scraped(moment)
    key, target = tmp_path / "backup.key", tmp_path / "target"
    target.mkdir(mode=0o700)
    home = Home(lab.ops_home)
    recipient = keys.new(home, key)
    file = shop.project.path("compose.yml")
    asked = {"files": [file], "project_name": shop.project.name, "to": [f"t={target}"]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPS_BACKUP_RECIPIENTS", recipient)
        keys.prove(home, str(key))
        plan = backup_stack(BackupRequest(**asked, mode="plan"), home=home, runner=ThreadRunner())
        chosen = [str(row["component"]) for row in plan.plan if row["component"] != "images"]
        report = backup_stack(BackupRequest(**asked, only=chosen), home=home, runner=ThreadRunner())
    assert report.exit_code == Exit.DONE, report.errors
    engine_state.remove(shop.project.name)
    for place in (Path(file).parent, lab.ops_home):
        shutil.rmtree(place)
    (backup,) = target.glob(f"*/backups/{report.id}")
    shutil.copy(key, backup / "identity.txt")
    page = (backup / "RUNBOOK.md").read_text()
    for block in re.findall(r"^```sh\n(.*?)\n^```$", page, re.MULTILINE | re.DOTALL):
        done = subprocess.run(("sh", "-euc", block), cwd=backup, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    assert poll(lambda: shop.cypher("RETURN 1") == 1, 200, every=0.5)
    assert poll(lambda: shop.call("models", 11434, "/api/version") is not None, 60)
    assert poll(lambda: shop.call("metrics", 9090, "/api/v1/status/buildinfo") is not None, 60)
    assert poll(lambda: shop.call("faiss", 8000, "/health") is not None, 60)
    assert poll(lambda: shop.call("vectors", 8000, "/api/v2/heartbeat") is not None, 60)
    assert shop.holds() == before
    assert shop.scraped(moment) == scraped
    assert Path(shop.project.path(".env")).stat().st_mode & 0o777 == 0o600
