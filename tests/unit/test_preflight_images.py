"""What only images tell: programs, users, data paths, ports."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compose.stack.preflight.data_paths import covers, data_paths
from compose.stack.preflight.image_questions import question
from compose.stack.preflight.images import Account, Contents, Entry, Image, Question, account, parse_image
from compose.stack.preflight.passes import second_pass
from tests.preflighting import stack

PATH = "/usr/bin:/bin"
PASSWD = "root:x:0:0:root:/root:/bin/sh\napp:x:999:998:app:/home/app:/bin/sh\n"


def image(**config: object) -> Image:
    """An image as `docker image inspect` shows it."""
    return parse_image(
        "x:1", {"Id": "sha256:1", "Architecture": "amd64", "Config": {"Env": [f"PATH={PATH}"], **config}}
    )


def codes(
    service: str, of: Image, contents: Contents | None = None, volumes: tuple[str, ...] = (), **top: object
) -> list[str]:
    """Codes of the second pass for one service `a`, running as root left out."""
    wanted = stack(f"a: {service}", **top)
    name = wanted["a"].image
    found = second_pass(
        wanted, {name: of}, {name: contents or Contents()}, volumes=frozenset(volumes), machine="x86_64"
    )
    return [item.code for item in found if item.code != "runs-as-root"]


def test_an_image_that_is_not_here_is_unknown() -> None:
    """`plan` says so instead of guessing."""
    found = second_pass(stack("a: {image: 'x:1'}"), {"x:1": None}, {})
    assert found.codes() == ("image-unknown",)


def test_a_health_check_that_the_image_cannot_run() -> None:
    """curl is not there; wget as an alternative would do."""
    check = "{image: 'x:1', healthcheck: {test: [CMD-SHELL, 'curl -f localhost || exit 1']}}"
    wanted = stack(f"a: {check}")
    asked = question(wanted, wanted["a"], image(), frozenset())
    assert asked.programs == {("curl", PATH), ("/bin/sh", PATH)}
    lacking = Contents(programs={("curl", PATH): "", ("/bin/sh", PATH): "/bin/sh"})
    assert codes(check, image(), lacking) == ["healthcheck-program-missing"]
    either = check.replace("|| exit 1", "|| wget -q localhost")
    both = Contents(programs={**lacking.programs, ("wget", PATH): "/bin/wget"})
    assert codes(either, image(), both) == []
    shell = Contents(programs={("curl", PATH): "/usr/bin/curl", ("/bin/sh", PATH): ""})
    assert codes(check, image(), shell) == ["healthcheck-program-missing"]


def test_what_lies_on_a_mount_is_not_judged() -> None:
    """A script that is mounted is not in the image."""
    script = "{type: bind, source: /p, target: /check.sh}"
    text = f"{{image: 'x:1', healthcheck: {{test: [CMD, /check.sh]}}, volumes: [{script}]}}"
    injected = "{image: 'x:1', entrypoint: [/run.sh], configs: [{source: c, target: /run.sh}], user: '5'}"
    borrowed = "{image: 'x:1', entrypoint: [/run.sh], volumes_from: ['b:ro']}"
    for service in (text, injected, borrowed):
        wanted = stack(f"a: {service}")
        assert not question(wanted, wanted["a"], image(), frozenset()).programs


def test_the_images_own_health_check_counts() -> None:
    """It is what the container will have when the file is silent."""
    fake = image(Healthcheck={"Test": ["CMD", "true"]})
    assert codes("{image: 'x:1'}", fake) == ["fake-healthcheck"]
    assert codes("{image: 'x:1', healthcheck: {disable: true}}", fake) == []
    waits = stack("a: {image: 'x:1'}\nb: {image: 'x:1', depends_on: {a: {condition: service_healthy}}}")
    found = second_pass(waits, {"x:1": image()}, {})
    assert ("healthcheck-waited-missing", "a") in [(item.code, item.service) for item in found]


def test_the_program_that_is_started() -> None:
    """A command that the image lacks ends with 127 at the start."""
    lacking = Contents(programs={("/app/run", PATH): ""})
    assert codes("{image: 'x:1', command: [./run], working_dir: /app}", image(), lacking) == ["command-missing"]
    wrapped = image(Entrypoint=["/entry"])
    assert codes("{image: 'x:1', command: [./run], working_dir: /app}", wrapped, lacking) == []


VOLUME = "{type: volume, source: v, target: %s}"


@pytest.mark.parametrize(
    ("service", "config", "code"),
    [
        ("image: 'chromadb/chroma:1.5.9', volumes: [%s]" % (VOLUME % "/chroma/chroma"), {}, "volume-misses-data"),
        ("image: 'chromadb/chroma:1.5.9', volumes: [%s]" % (VOLUME % "/data"), {}, None),
        ("image: 'chromadb/chroma:0.5.20', volumes: [%s]" % (VOLUME % "/chroma/chroma"), {}, None),
        ("image: 'chromadb/chroma:1.5.9', environment: {PERSIST_DIRECTORY: /chroma/chroma}, volumes: [%s]"
         % (VOLUME % "/chroma/chroma"), {}, None),
        ("image: 'ollama/ollama:1', environment: {OLLAMA_MODELS: /models}, volumes: [%s]"
         % (VOLUME % "/root/.ollama"), {}, "volume-misses-data"),
        ("image: 'ollama/ollama:1', volumes: [%s]" % (VOLUME % "/root/.ollama"), {}, None),
        ("image: 'ollama/ollama:1', volumes: [%s]" % (VOLUME % "/home/o"), {"Env": ["HOME=/home/o"]}, None),
        ("image: 'postgres:18', volumes: [%s]" % (VOLUME % "/var/lib/postgresql/data"),
         {"Env": ["PGDATA=/var/lib/postgresql/18/docker"]}, "volume-misses-data"),
        ("image: 'postgres:18', volumes: [%s]" % (VOLUME % "/var/lib/postgresql"),
         {"Env": ["PGDATA=/var/lib/postgresql/18/docker"]}, None),
        ("image: 'postgres:16'", {}, "data-not-kept"),
        ("image: 'redis:7', tmpfs: [/data]", {}, None),
        ("image: 'redis:7', command: [redis-server, --dir, /state], volumes: [%s]" % (VOLUME % "/data"), {},
         "volume-misses-data"),
        ("image: 'redis:7', volumes: [%s]" % (VOLUME % "/state"), {"Volumes": {"/state": {}}}, None),
        ("image: 'some:1', volumes: [%s]" % (VOLUME % "/elsewhere"), {"Volumes": {"/data": {}}},
         "image-volume-uncovered"),
        ("image: 'some:1', volumes: [%s]" % (VOLUME % "/data/x"), {"Volumes": {"/data": {}}}, None),
    ],
)  # fmt: skip
def test_data_paths(service: str, config: dict[str, object], code: str | None) -> None:
    """A volume beside the data is a loss at the next `down`."""
    found = codes(f"{{{service}}}", image(**config), volumes=("v",))
    assert found == ([code] if code else [])


def test_users() -> None:
    """A name that the image does not know stops the start; a number always works."""
    contents = Contents(passwd=PASSWD, group="staff:x:50:\n")
    assert codes("{image: 'x:1', user: ghost}", image(), contents) == ["user-unknown"]
    assert codes("{image: 'x:1', user: 'app:ghosts'}", image(), contents) == ["user-unknown"]
    assert codes("{image: 'x:1', user: '12:staff'}", image(), contents) == []
    assert codes("{image: 'x:1', user: ghost}", image()) == []
    assert account("app", contents) == Account(999, 998, "/home/app")
    assert account("999", Contents()) == Account(999, 0)
    assert account("", contents) == Account(0, 0, "/root")


def test_root_is_told_in_our_own_stacks() -> None:
    """Elsewhere it is for the record."""
    for own in (True, False):
        found = second_pass(stack("a: {image: 'x:1'}", ops={"own": own}), {"x:1": image()}, {})
        assert bool(found.warnings) is own
        assert found.codes() == ("runs-as-root",)


def test_a_new_volume_takes_its_owner_from_the_image() -> None:
    """Another user than the container's could not write; a volume that exists is what it is."""
    text = f"{{image: 'x:1', user: app, volumes: [{VOLUME % '/data'}]}}"
    wanted = stack(f"a: {text}")
    assert question(wanted, wanted["a"], image(), frozenset()) == Question(
        frozenset(), frozenset({"/data"}), accounts=True
    )
    for entry, code in (
        (Entry("directory", 0, 0, 0o755), ["volume-owner"]),
        (None, ["volume-owner"]),
        (Entry("directory", 999, 0, 0o755), []),
        (Entry("directory", 0, 998, 0o775), []),
        (Entry("directory", 0, 0, 0o1777), []),
    ):
        contents = Contents(places={"/data": entry}, passwd=PASSWD)
        assert codes(text, image(), contents) == code
        assert codes(text, image(), contents, volumes=("v",)) == []


def test_ports_and_processor() -> None:
    """A container port that the image does not name, an image for another machine."""
    text = "{image: 'x:1', ports: [{target: 81, published: '81'}]}"
    assert codes(text, image(ExposedPorts={"80/tcp": {}})) == ["port-not-exposed"]
    assert codes(text, image(ExposedPorts={"81/tcp": {}})) == []
    assert codes(text, image()) == []
    other = parse_image("x:1", {"Architecture": "arm64", "Config": {}})
    assert codes("{image: 'x:1'}", other) == ["image-platform"]
    assert codes("{image: 'x:1', platform: linux/arm64}", other) == []


paths = st.lists(st.sampled_from(["a", "b", "ab"]), max_size=3).map(lambda parts: "/" + "/".join(parts))


@given(paths, paths)
def test_covering(target: str, path: str) -> None:
    """A mount holds a path when it is the path itself or one of its parents."""
    parents = [path[:at] or "/" for at in range(len(path) + 1) if at in (0, len(path)) or path[at : at + 1] == "/"]
    assert covers(target, path) is (target in parents)


@given(st.text(alphabet="ab:0 \n", max_size=20), st.text(alphabet="ab:0x \n", max_size=60))
def test_any_account_file_is_survived(user: str, text: str) -> None:
    """Images hold broken files."""
    account(user, Contents(passwd=text, group=text))


def test_unknown_roles_have_no_data_path() -> None:
    """Nothing is claimed of what is not known."""
    wanted = stack("a: {image: 'some:1'}")
    assert data_paths(wanted["a"], image()) == ()
