"""One row per service: how it is, since when it was ready, where it is reached."""

from compose.stack.observed import Container, Observed
from compose.stack.release import Health, ImageRecord, Release
from compose.stack.service import parse_stack
from compose.stack.status import status_of

STACK = parse_stack(
    {
        "name": "t",
        "services": {
            "db": {
                "image": "postgres:16",
                "ports": [{"target": 5432, "published": "5432", "host_ip": "127.0.0.1"}],
            },
            "web": {
                "image": "nginx:1",
                "ports": [{"target": 80, "published": "80"}, {"target": 53, "published": "53", "protocol": "udp"}],
            },
            "job": {"image": "job:1", "restart": "no"},
            "parked": {"image": "x:1", "scale": 0},
            "user": {"image": "x:1", "depends_on": {"job": {"condition": "service_completed_successfully"}}},
        },
    }
)


def rows(*containers, releases=(), built_here=None):
    found = status_of(STACK, Observed(tuple(containers)), releases, built_here)
    return {row.service: row for row in found}


def container(service, **facts):
    return Container(id=service, name=f"t-{service}-1", service=service, **facts)


def test_states_in_one_word_each():
    """Running, healthy, done, stopped, out of memory, exited, missing, scaled to zero."""
    found = rows(
        container("db", state="running", health="healthy"),
        container("web", state="exited", exit_code=137, oom_killed=True),
        container("job", state="exited", exit_code=0),
        container("user", state="exited", exit_code=3),
    )
    assert {name: row.state for name, row in found.items()} == {
        "db": "healthy",
        "web": "out of memory",
        "job": "done",
        "parked": "scaled to zero",
        "user": "exited 3",
    }
    assert [name for name, row in found.items() if row.right] == ["db", "job", "parked"]
    assert rows()["db"].state == "missing"
    assert rows(container("web", state="exited", exit_code=0))["web"].state == "stopped"


def test_where_it_is_reached():
    """An address for what speaks HTTP, host and port for the rest, nothing for what is no TCP."""
    found = rows()
    assert found["db"].urls == ("127.0.0.1:5432",)
    assert found["web"].urls == ("http://127.0.0.1",)


def test_ready_after_comes_from_the_release_that_started_it():
    """A later release that found it running does not blot the time out; the proof is the last one's."""
    first = Release(number=1, kind="deploy", created="", project="t")
    first = first.model_copy(
        update={
            "health": {"db": Health(state="ready", proof="SELECT 1", seconds=5.84)},
            "images": {"db": ImageRecord(reference="postgres:16", id="sha256:a", built_here=True)},
        }
    )
    second = first.model_copy(update={"health": {"db": Health(state="unchanged", proof="SELECT 1")}})
    row = rows(container("db", state="running", image_id="sha256:a"), releases=(first, second))["db"]
    assert (row.ready_after, row.proof, row.origin) == (5.8, "SELECT 1", "built here")


def test_origin_of_the_image():
    """What the engine knows comes first; unknown stays empty."""
    pulled = container("db", state="running", image_id="sha256:b")
    assert rows(pulled, built_here={"sha256:b": False})["db"].origin == "upstream"
    assert rows(pulled)["db"].origin == ""
