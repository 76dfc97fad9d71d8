"""The first-party services against real Redis, PostgreSQL, ChromaDB and Ollama; things are broken on purpose."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from tests.services_lab import DEMONSTRATION, IMAGES, SECRETS, ServicesLab, SlowAgent, laboratory, until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]
TOKEN = {"Authorization": f"Bearer {SECRETS['API_TOKEN']}"}
ENDED = ("finished", "failed")
RERUN = b"Z\x00"  # Streamlit's BackMsg with an empty rerun_script: run the page for a new session


@pytest.fixture(scope="module", autouse=True)
def _images() -> None:
    argv = ["docker", "image", "inspect", "--format", "x", *IMAGES.values()]
    missing = subprocess.run(argv, capture_output=True, text=True, check=False).stderr.strip()
    if missing:
        pytest.skip(f"images are missing, build the offline stack first: {missing}")


@pytest.fixture(scope="module")
def stack() -> Iterator[ServicesLab]:
    """All services of the light stack but nginx, with the demonstration model in place of tinyllama."""
    with laboratory("services") as lab:
        lab.redis()
        database = {"POSTGRES_PASSWORD": SECRETS["POSTGRES_PASSWORD"], "POSTGRES_USER": "sutazai"}
        lab.start("postgres", env=database)
        lab.start("chromadb")
        lab.start("ollama", env={"HOME": "/tmp", "OLLAMA_MODELS": "/tmp/models", "OLLAMA_NOPRUNE": "1"})
        lab.start("model-registry")
        done = lab.init_model(MODEL="tinyllama", FALLBACK_MODEL=DEMONSTRATION)
        assert done.returncode == 0, done.stderr
        for service in ("task-coordinator", "backend-agi", "frontend-agi"):
            lab.first_party(service)
        healthy(lab, "task-coordinator", 8522)
        healthy(lab, "backend-agi", 8000)
        yield lab


@pytest.fixture
def workplace() -> Iterator[tuple[ServicesLab, SlowAgent]]:
    """A coordinator with a short lease, its Redis, and an agent that answers when told to."""
    with laboratory("tasks") as lab:
        agent = SlowAgent(lab.gateway)
        try:
            lab.redis()
            lab.first_party("task-coordinator", TASK_LEASE_SECONDS="6")
            url = lab.url("task-coordinator", 8522)
            until(lambda: httpx.get(f"{url}/health").json()["services"]["redis"]["status"] == "up")
            body = {"name": "slow", "url": agent.url}
            assert httpx.post(f"{url}/agents/register", json=body, headers=TOKEN).status_code == 201
            yield lab, agent
        finally:
            agent.close()


def healthy(lab: ServicesLab, service: str, port: int) -> dict[str, Any]:
    """Wait until a service calls itself healthy; return its report."""

    def ask() -> dict[str, Any] | None:
        response = httpx.get(f"{lab.url(service, port)}/health")
        return response.json() if response.status_code == 200 else None

    return until(ask)


def submit(lab: ServicesLab, **body: Any) -> str:
    """Give the coordinator a task; return its id."""
    response = httpx.post(f"{lab.url('task-coordinator', 8522)}/assign", json=body, headers=TOKEN)
    assert response.status_code == 202, response.text
    return str(response.json()["task_id"])


def task(lab: ServicesLab, id_: str) -> dict[str, Any]:
    """Return a task as it is now."""
    return dict(httpx.get(f"{lab.url('task-coordinator', 8522)}/tasks/{id_}").json())


def ended(lab: ServicesLab, id_: str) -> dict[str, Any]:
    """Wait for the end of a task and return it."""

    def look() -> dict[str, Any] | None:
        found = task(lab, id_)
        return found if found["state"] in ENDED else None

    return until(look)


def workers(lab: ServicesLab) -> dict[str, int]:
    """Return the pid inside the container of every worker alive."""
    report = httpx.get(f"{lab.url('task-coordinator', 8522)}/health").json()
    return {worker["name"]: worker["pid"] for worker in report["workers"] if worker["alive"]}


def backend(lab: ServicesLab, method: str, path: str, **more: Any) -> httpx.Response:
    """Ask the backend, with the token."""
    return httpx.request(method, lab.url("backend-agi", 8000) + path, headers=TOKEN, timeout=60, **more)


# The coordinator ------------------------------------------------------------------------------------------


def begin(lab: ServicesLab, agent: SlowAgent) -> tuple[str, str]:
    """Start a task that hangs at the agent; return its id and its worker."""
    id_ = submit(lab, prompt="work", agent="slow")
    until(lambda: agent.calls == [id_])
    return id_, task(lab, id_)["worker"]


def test_killed_worker(workplace: tuple[ServicesLab, SlowAgent]) -> None:
    """A task whose worker is killed in mid-work is finished once, by another worker."""
    lab, agent = workplace
    id_, first = begin(lab, agent)
    lab.signal("task-coordinator", "KILL", workers(lab)[first])
    until(lambda: agent.calls == [id_, id_])
    agent.answers.put("to the dead")
    agent.answers.put("to the living")
    done = ended(lab, id_)
    assert (done["state"], done["completions"], done["attempts"]) == ("finished", 1, 2)
    assert done["worker"] != first
    assert first not in until(lambda: len(workers(lab)) == 2 and workers(lab))


def test_worker_that_was_taken_for_dead(workplace: tuple[ServicesLab, SlowAgent]) -> None:
    """A worker that stood still beyond its lease comes back too late: its answer changes nothing."""
    lab, agent = workplace
    id_, first = begin(lab, agent)
    pid = workers(lab)[first]
    lab.signal("task-coordinator", "STOP", pid)
    until(lambda: agent.calls == [id_, id_])
    agent.answers.put("one")  # which of the two waiting requests gets which answer is chance
    agent.answers.put("other")
    done = ended(lab, id_)
    assert (done["result"] in {"one", "other"}, done["completions"], done["attempts"]) == (True, 1, 2)
    lab.signal("task-coordinator", "CONT", pid)
    until(lambda: f"task {id_} was ended by another claim" in lab.logs("task-coordinator"))
    assert task(lab, id_) == done


def test_killed_container(workplace: tuple[ServicesLab, SlowAgent]) -> None:
    """The whole coordinator is killed in mid-work: started again, it finishes the task once."""
    lab, agent = workplace
    id_, _first = begin(lab, agent)
    lab.docker("kill", lab.container("task-coordinator"))
    lab.docker("start", lab.container("task-coordinator"))
    until(lambda: agent.calls == [id_, id_])
    agent.answers.put("lost")
    agent.answers.put("kept")
    done = ended(lab, id_)
    assert (done["state"], done["completions"], done["attempts"]) == ("finished", 1, 2)


def test_stopped_container_gives_its_task_back(workplace: tuple[ServicesLab, SlowAgent]) -> None:
    """SIGTERM in mid-work ends the container by itself; the attempt does not count against the task."""
    lab, agent = workplace
    id_, _first = begin(lab, agent)
    lab.docker("stop", "--time", "5", lab.container("task-coordinator"))
    code = lab.docker("inspect", "--format", "{{.State.ExitCode}}", lab.container("task-coordinator"))
    assert code != "137"
    assert "its worker was stopped" in lab.docker(
        "exec", "--env", f"REDISCLI_AUTH={SECRETS['REDIS_PASSWORD']}", lab.container("redis"),
        "redis-cli", "hget", f"coordinator:task:{id_}", "error",
    )  # fmt: skip
    lab.docker("start", lab.container("task-coordinator"))
    until(lambda: len(agent.calls) == 2)
    agent.answers.put("lost")
    agent.answers.put("kept")
    assert ended(lab, id_)["completions"] == 1


def test_redis_restarts_in_the_middle(workplace: tuple[ServicesLab, SlowAgent]) -> None:
    """Queue and claims are in the append-only file: the answer is handed in when Redis is back, once."""
    lab, agent = workplace
    id_, first = begin(lab, agent)
    waiting = [submit(lab, prompt=str(number), agent="slow") for number in range(3)]
    lab.docker("restart", lab.container("redis"))
    for number in range(10):
        agent.answers.put(str(number))
    everyone = [ended(lab, each) for each in (id_, *waiting)]
    assert [done["completions"] for done in everyone] == [1, 1, 1, 1]
    assert first in {done["worker"] for done in everyone}


def test_same_id_same_task(workplace: tuple[ServicesLab, SlowAgent]) -> None:
    """A client that repeats itself after a lost answer does not get its work done twice."""
    lab, agent = workplace
    id_ = str(uuid.uuid4())
    assert {submit(lab, prompt="once", agent="slow", id=id_) for _ in range(3)} == {id_}
    agent.answers.put("done")
    assert ended(lab, id_)["result"] == "done"
    assert agent.calls == [id_]


def test_a_removed_task_stays_removed(workplace: tuple[ServicesLab, SlowAgent]) -> None:
    """Removed while it is worked on: the answer comes to nothing, nothing is left, and the queue goes on."""
    lab, agent = workplace
    id_, _worker = begin(lab, agent)
    queued = submit(lab, prompt="never", agent="slow")
    until(lambda: len(agent.calls) == 2)  # both workers are busy now
    waiting = submit(lab, prompt="never begun", agent="slow")
    url = lab.url("task-coordinator", 8522)
    assert httpx.delete(f"{url}/tasks/{id_}").status_code == 401
    for each in (id_, queued, waiting):
        assert httpx.delete(f"{url}/tasks/{each}", headers=TOKEN).status_code == 204
        assert httpx.get(f"{url}/tasks/{each}").status_code == 404
    for _ in range(3):
        agent.answers.put("fine")
    assert ended(lab, submit(lab, prompt="next", agent="slow"))["result"] == "fine"
    until(lambda: httpx.get(f"{url}/tasks").json()["queue"] == {"waiting": 0, "leased": 0})
    assert waiting not in agent.calls
    assert len(httpx.get(f"{url}/tasks").json()["tasks"]) == 1


def test_a_task_that_kills_its_workers_is_given_up(workplace: tuple[ServicesLab, SlowAgent]) -> None:
    """After five dead workers the task is failed, with the reason, and the queue goes on."""
    lab, agent = workplace
    id_ = submit(lab, prompt="poison", agent="slow")
    for attempt in range(1, 6):
        until(lambda attempt=attempt: len(agent.calls) == attempt)  # type: ignore[misc]
        lab.signal("task-coordinator", "KILL", workers(lab)[task(lab, id_)["worker"]])
    done = ended(lab, id_)
    assert (done["state"], done["completions"], done["attempts"]) == ("failed", 1, 5)
    assert done["error"] == "given up after 5 attempts; last: its workers died"
    for _ in range(6):
        agent.answers.put("fine")
    assert ended(lab, submit(lab, prompt="next", agent="slow"))["state"] == "finished"


def test_many_tasks_while_workers_die(stack: ServicesLab) -> None:
    """Forty tasks for the model, workers killed six times meanwhile: each finished once, with its text."""
    ids = [submit(stack, prompt=f"task {number}") for number in range(40)]
    for _ in range(6):
        victim = until(lambda: next(iter(workers(stack).values()), None))
        stack.signal("task-coordinator", "KILL", victim)
    done = [ended(stack, id_) for id_ in ids]
    assert {(each["state"], each["completions"]) for each in done} == {("finished", 1)}
    assert all(each["result"] and each["demonstration"] and each["tokens"] > 0 for each in done)
    healthy(stack, "task-coordinator", 8522)


@pytest.mark.parametrize("route", ["/assign", "/tasks", "/agents/register"])
def test_coordinator_wants_the_token(stack: ServicesLab, route: str) -> None:
    """Nothing is queued or registered without it."""
    url = stack.url("task-coordinator", 8522) + route
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        assert httpx.post(url, json={"prompt": "x"}, headers=headers).status_code == 401


# The model initialiser ------------------------------------------------------------------------------------


def test_model_is_there_already(stack: ServicesLab) -> None:
    """The second run pulls nothing, and still proves the model by a token."""
    done = stack.init_model(MODEL=DEMONSTRATION)
    assert done.returncode == 0
    assert "is there" in done.stderr
    assert "pulling" not in done.stderr
    assert "answered 8 token(s)" in done.stderr


def test_fallback_is_said_loudly(stack: ServicesLab) -> None:
    """Whoever reads the log sees that the wanted model is not there, and why."""
    done = stack.init_model(MODEL="nowhere.invalid/a/b", FALLBACK_MODEL=DEMONSTRATION)
    assert done.returncode == 0
    assert "THE MODEL nowhere.invalid/a/b:latest IS NOT HERE" in done.stderr
    assert "no such host" in done.stderr
    assert "READY WITH A STAND-IN" in done.stderr


@pytest.mark.parametrize(
    ("env", "code", "said"),
    [
        ({"MODEL": "nowhere.invalid/a/b"}, 1, "there is no FALLBACK_MODEL"),
        ({"MODEL": "nowhere.invalid/a/b", "FALLBACK_MODEL": "model-registry:5000/no/such:1"}, 1, "does not exist"),
        ({"MODEL": "", "FALLBACK_MODEL": DEMONSTRATION}, 2, "MODEL is not set"),
        ({"MODEL": "x", "CATALOGUE": "/nowhere.yaml"}, 2, "/nowhere.yaml"),
        ({"MODEL": "x", "OLLAMA_URL": "http://redis:1", "SERVER_WITHIN_SECONDS": "0.5"}, 1, "does not answer"),
    ],
)
def test_initialiser_fails_honestly(stack: ServicesLab, env: dict[str, str], code: int, said: str) -> None:
    """Every failure has its exit code and says what is wrong."""
    done = stack.init_model(**env)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr


# The backend ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("container", "service"),
    [("redis", "redis"), ("postgres", "postgresql"), ("chromadb", "chromadb"), ("ollama", "ollama")],
)
def test_health_follows_each_dependency(stack: ServicesLab, container: str, service: str) -> None:
    """A stopped dependency is 503 and named; when it is back, so is the health, without a restart."""
    name = stack.container(container)
    stack.docker("pause" if container == "ollama" else "stop", name)
    try:
        response = until(lambda: (found := backend(stack, "GET", "/health")).status_code == 503 and found)
        assert isinstance(response, httpx.Response)
        body = response.json()
        assert body["status"] == "degraded"
        assert [key for key, entry in body["services"].items() if entry["status"] == "down"] == [service]
        assert body["services"][service]["detail"]
        assert not any(secret in response.text for secret in SECRETS.values())
    finally:
        stack.docker("unpause" if container == "ollama" else "start", name)
    report = healthy(stack, "backend-agi", 8000)
    assert {entry["status"] for entry in report["services"].values()} == {"up"}
    healthy(stack, "task-coordinator", 8522)


def test_health_has_the_fields_of_the_document(stack: ServicesLab) -> None:
    """Status, timestamp, uptime, version and the services, with the model in use named for what it is."""
    body = healthy(stack, "backend-agi", 8000)
    assert (body["status"], body["version"], body["uptime"] > 0) == ("healthy", "17.0.0", True)
    assert set(body["services"]) == {"postgresql", "redis", "ollama", "chromadb"}
    assert body["agents"]["task_coordinator"]["status"] == "up"
    assert (body["model"]["name"], body["model"]["demonstration"]) == (DEMONSTRATION, True)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/chat", {"message": "hello", "history": [{"role": "user", "content": "before"}]}),
        ("/think", {"query": "hello"}),
        ("/reason", {"description": "hello"}),
        ("/api/v1/models/generate", {"prompt": "hello"}),
        ("/api/v1/models/chat", {"message": "hello"}),
    ],
)
def test_answers_say_where_they_come_from(stack: ServicesLab, path: str, body: dict[str, Any]) -> None:
    """A text, its model, its tokens, and that it is the demonstration model's."""
    answer = backend(stack, "POST", path, json=body).json()
    assert answer["response"].strip()
    assert answer["tokens"] > 0
    assert answer["model"] == DEMONSTRATION
    assert (answer["demonstration"], "demonstration model" in answer["notice"]) == (True, True)


def test_execute_goes_through_the_coordinator(stack: ServicesLab) -> None:
    """The answer carries the task and the model's text."""
    response = backend(stack, "POST", "/execute", json={"description": "do it"})
    body = response.json()
    assert (response.status_code, body["status"], body["completions"]) == (200, "finished", 1)
    assert body["result"]


def test_vectors(stack: ServicesLab) -> None:
    """Documents with the model's vectors and with the client's own are found again; mixing them is refused."""
    own = {"documents": ["north", "east"], "embeddings": [[0, 1], [1, 0]], "collection": "compass"}
    assert backend(stack, "POST", "/api/v1/vectors/add", json=own).status_code == 201
    found = backend(stack, "POST", "/api/v1/vectors/search", json={"embedding": [0.1, 1], "collection": "compass"})
    assert [entry["document"] for entry in found.json()["results"]] == ["north", "east"]
    mixed = backend(stack, "POST", "/api/v1/vectors/search", json={"query": "north", "collection": "compass"})
    assert mixed.status_code == 409
    added = backend(stack, "POST", "/api/v1/vectors/add", json={"documents": ["a text"], "ids": ["1"]}).json()
    assert (added["ids"], added["demonstration"]) == (["1"], True)
    stats = backend(stack, "GET", "/api/v1/vectors/stats").json()
    assert {entry["name"]: entry["count"] for entry in stats["collections"]}["compass"] == 2


def test_workflow(stack: ServicesLab) -> None:
    """Its steps are tasks; it is finished when they are."""
    steps = {"name": "two", "steps": ["one", "two"]}
    started = backend(stack, "POST", "/api/v1/orchestration/workflows", json=steps).json()

    def finished() -> dict[str, Any] | None:
        kept = backend(stack, "GET", "/api/v1/orchestration/workflows").json()["workflows"]
        mine = next(each for each in kept if each["id"] == started["id"])
        return mine if mine["state"] == "finished" else None

    assert [each["id"] for each in until(finished)["tasks"]] == started["tasks"]
    assert backend(stack, "GET", "/api/v1/orchestration/status").json()["workflows"] >= 1


@pytest.mark.parametrize("store", ["qdrant", "faiss", "neo4j"])
def test_what_the_light_stack_lacks_is_501(stack: ServicesLab, store: str) -> None:
    """Not served, with the reason."""
    body = {"documents": ["x"], "store": store}
    response = backend(stack, "POST", "/api/v1/vectors/add", json=body)
    assert (response.status_code, response.json()["service"]) == (501, store)
    assert "not part of the light stack" in response.json()["detail"]


CHANGING = [
    *("/chat", "/think", "/reason", "/execute", "/api/v1/auth/token"),
    *(f"/api/v1/models/{verb}" for verb in ("pull", "generate", "chat", "embed")),
    *(f"/api/v1/vectors/{verb}" for verb in ("add", "search")),
    *(f"/api/v1/orchestration/{noun}" for noun in ("agents", "workflows")),
]


@pytest.mark.parametrize("path", CHANGING)
def test_backend_wants_the_token(stack: ServicesLab, path: str) -> None:
    """No token, no work."""
    assert httpx.post(stack.url("backend-agi", 8000) + path, json={}).status_code == 401


def test_every_changing_route_is_in_the_list_above(stack: ServicesLab) -> None:
    """A new route without a token would show here."""
    paths = backend(stack, "GET", "/openapi.json").json()["paths"]
    assert {path for path, verbs in paths.items() if set(verbs) - {"get"}} == set(CHANGING)


def test_a_signed_token_is_as_good(stack: ServicesLab) -> None:
    """The API token buys a JWT for an hour."""
    jwt = backend(stack, "POST", "/api/v1/auth/token", json={}).json()["token"]
    headers = {"Authorization": f"Bearer {jwt}"}
    url = stack.url("backend-agi", 8000) + "/chat"
    assert httpx.post(url, json={"message": "x"}, headers=headers, timeout=30).status_code == 200


def test_a_model_that_is_not_there(stack: ServicesLab) -> None:
    """404 for one that is asked for by name; a pull from nowhere is an error, not a success."""
    assert backend(stack, "POST", "/chat", json={"message": "x", "model": "nobody"}).status_code == 404
    pulled = backend(stack, "POST", "/api/v1/models/pull", json={"model": "nowhere.invalid/a/b"})
    assert (pulled.status_code, "no such host" in pulled.json()["detail"]) == (502, True)


def test_metrics(stack: ServicesLab) -> None:
    """Prometheus gets dependencies and requests by route."""
    backend(stack, "POST", "/chat", json={"message": "x"})
    text = backend(stack, "GET", "/metrics").text
    for part in ('sutazai_dependency_up{dependency="postgresql"} 1.0', 'route="/chat",status="200"'):
        assert part in text


# The frontend ---------------------------------------------------------------------------------------------


def test_page_runs_and_names_the_demonstration_model(stack: ServicesLab) -> None:
    """A session over the websocket runs the page; what it shows comes from the backend."""
    url = stack.url("frontend-agi", 8501)
    until(lambda: httpx.get(f"{url}/_stcore/health").text == "ok")
    assert "<title>" in httpx.get(url).text
    shown = b""
    with connect(url.replace("http", "ws") + "/_stcore/stream", proxy=None) as session:
        session.send(RERUN)
        while b"wrote and read a key" not in shown:
            message = session.recv(timeout=20)
            shown += message if isinstance(message, bytes) else message.encode()
    assert b"DEMONSTRATION MODEL" in shown
    assert not any(secret.encode() in shown for secret in SECRETS.values())


# All of them ----------------------------------------------------------------------------------------------


def test_no_secret_in_logs_or_arguments(stack: ServicesLab) -> None:
    """After all that was broken above."""
    for service in ("backend-agi", "frontend-agi", "task-coordinator"):
        said = stack.logs(service) + stack.docker("top", stack.container(service), "-eo", "pid,args")
        assert not [name for name, secret in SECRETS.items() if secret in said]


def test_stops_by_itself(stack: ServicesLab) -> None:
    """SIGTERM ends each service long before the engine would kill it; a worker's too."""
    stop: Callable[[str], str] = lambda service: stack.docker("stop", "--time", "5", stack.container(service))  # noqa: E731
    for service in ("frontend-agi", "backend-agi", "task-coordinator"):
        stop(service)
        code = stack.docker("inspect", "--format", "{{.State.ExitCode}}", stack.container(service))
        assert code in ("0", "143"), service
