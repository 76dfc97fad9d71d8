"""What a release keeps: a file from which Compose makes the very same services, whatever has changed since.

The installed Compose reads and hashes; nothing is deployed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from blocks.compose_cli import ComposeCli
from blocks.engine import Engine
from blocks.home import Home
from blocks.releases import FLAT, RECORD
from compose.stack.commands import Project
from compose.stack.errors import Refused
from compose.stack.release import Release
from compose.stack.request import StackRef
from flows.deploy_stack import open_work
from tasks.releases import draft, give_back, store, within
from tasks.work import Work
from tests.projects import PROJECTS, ComposeProject

pytestmark = pytest.mark.engine


@dataclass
class Kept:
    """A project in a directory, its releases, and an engine that has every image."""

    home: Home
    ref: StackRef
    moved: list[tuple[str, str]] = field(default_factory=list)

    def work(self) -> Work:
        """The project as its files are now."""
        engine: Any = SimpleNamespace(
            id="an engine",
            image=lambda reference: {"Id": f"sha256:{reference}"},
            tag=lambda image, tag: self.moved.append((image, tag)),
        )
        found: Engine = engine
        return open_work(self.home, self.ref, found)

    def release(self) -> Release:
        """Keep the files as they are now."""
        work = self.work()
        return store(work).append(*draft(work, "deploy", {}))

    def back(self, release: Release) -> tuple[Project, ComposeCli]:
        """A release, made deployable again."""
        found, cli, _ = give_back(self.work(), release)
        return found.project, cli

    def written(self, release: Release) -> str:
        """Everything that a release keeps."""
        place = store(self.work()).directory(release.number)
        return "".join(file.read_text() for file in (place / FLAT, place / RECORD, *place.glob("files/*")))


def rendered(project: Project, cli: ComposeCli) -> tuple[dict[str, Any], dict[str, str]]:
    """What Compose makes of a project, and its hashes.

    Compose 2.26 hashes names of env files here, and not when it makes containers; a render has none.
    """
    body = cli.render(project)
    return body, cli.hashes(project)


def write(place: Path, files: dict[str, str]) -> Kept:
    """A project of these files."""
    for name, text in files.items():
        path = place / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    home = Home(place / "home")
    home.make()
    return Kept(home, StackRef(files=[str(place / "project" / "compose.yml")]))


def same(kept: Kept, release: Release, was: tuple[dict[str, Any], dict[str, str]]) -> None:
    """The release gives back what was there."""
    body, hashes = rendered(*kept.back(release))
    assert body == was[0]
    assert hashes == was[1]


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.directory)
def test_every_project_comes_back_with_the_same_hashes(project: ComposeProject, tmp_path: Path) -> None:
    """Ours, with profiles, extensions, includes, env files, secrets, several files."""
    home = Home(tmp_path / "home")
    home.make()
    here = project.copied(tmp_path)
    kept = Kept(
        home,
        StackRef(
            files=[here.path(file) for file in here.files],
            env_files=[here.path(file) for file in here.env_files],
            project_name=here.name,
            profiles=list(here.profiles),
        ),
    )
    work = kept.work()
    body, hashes = rendered(work.project, work.cli)
    if "env_file" in "".join(path.read_text() for path in Path(here.path(".")).rglob("*.yml")):
        plain = tmp_path / "plain.yml"
        plain.write_text(work.cli.attempt(("docker", *here.compose("config"))).stdout)
        hashes = work.cli.hashes(replace(work.project, files=(str(plain),), directory=here.path(".")))
    same(kept, kept.release(), (body, hashes))


FILES: dict[str, dict[str, str]] = {
    "a path that is a default": {"compose.yml": "services: {w: {image: x, volumes: ['${DATA:-./data}:/data']}}"},
    "paths of variables": {
        "compose.yml": "services: {w: {image: x, volumes: ['${DATA}/x:/data', '${HOME}/.cfg:/cfg']}}",
        ".env": "DATA=/srv",
    },
    "a long bind and a secret's file": {
        "compose.yml": "services: {w: {image: x, secrets: [s], volumes: [{type: bind, source: '${DATA}', "
        "target: /d}]}}\nsecrets: {s: {file: '${DIR}/pw.txt'}}",
        ".env": "DATA=/srv/pg\nDIR=/etc/x",
    },
    "values that refer to values": {
        "compose.yml": "services: {w: {image: 'nginx:${TAG}'}}",
        ".env": "ROOT=1.2\nTAG=${ROOT}.3",
    },
    "a value that is passed on": {
        "compose.yml": "services: {w: {image: x, environment: {FOO: , NOTHING_AT_ALL: , BAR: y}}}",
        ".env": "FOO=from the file",
    },
    "profiles of the env file": {
        "compose.yml": "services: {w: {image: x}, j: {image: y, profiles: [extra]}, "
        "k: {image: z, profiles: [no]}}",
        ".env": "COMPOSE_PROFILES=extra",
    },
    "an optional dependency that is left out": {
        "compose.yml": "services: {w: {image: x, depends_on: {j: {condition: service_started, required: false}}}, "
        "j: {image: y, profiles: [no]}}",
    },
    "an include with an env file of its own": {
        "compose.yml": "include: [sub/c.yml]\nservices: {w: {image: x}}",
        "sub/c.yml": "services: {c: {image: 'x:${TAG:-1}', command: 'run ${INNER_PASSWORD}'}}",
        "sub/.env": "TAG=9\nINNER_PASSWORD=canary-inner",
    },
    "forms that only values give": {
        "compose.yml": "include: ['${SUB}/c.yml']\nservices: {w: {image: x, ulimits: {nofile: '${N}'}, "
        "extends: {file: '${SUB}/b.yml', service: b}}}",
        "sub/c.yml": "services: {c: {image: y}}",
        "sub/b.yml": "services: {b: {image: z}}",
        ".env": "SUB=sub\nN=3",
    },
    "secret names that are forms": {
        "compose.yml": "services: {w: {image: x, ports: ['${AUTH_PORT}:80'], volumes: ['${AUTH_DIR}:/a'], "
        "environment: {DB_PASSWORD: '${DB_PASSWORD}', URL: 'http://u:${DB_PASSWORD}@h:${AUTH_PORT}'}}, "
        "r: {image: '${PRIVATE_REGISTRY}/x', secrets: [s]}}\nsecrets: {s: {file: '${SECRETS_DIR}/pw'}}",
        ".env": "AUTH_PORT=18080\nAUTH_DIR=/srv/auth\nDB_PASSWORD=canary-pw\nPRIVATE_REGISTRY=here.example\n"
        "SECRETS_DIR=/etc/secrets",
    },
    "texts that look like numbers": {
        "compose.yml": "services: {w: {image: x, environment: {A: '1e3', B: '0o17', C: 'y', D: '0123', "
        "E: '2024-01-01', F: '~', G: 'a: b # c', API_KEY: canary-written}, command: ['echo', '$$HOME $${x}']}}",
    },
}
ENV_FILES: dict[str, dict[str, str]] = {
    "beside a list": {
        "compose.yml": "services: {w: {image: x, env_file: w.env, environment: ['BAR=x', 'API_KEY=canary-list']}}",
        "w.env": "N=1",
    },
    "dollars": {
        "compose.yml": "services: {w: {image: x, env_file: w.env, environment: {BAR: x}}}",
        "w.env": "RX='^a$b$'\nDB_PASSWORD='s$$ecret-canary'\nURL='pg://u:canary$word@h/x'",
    },
}


@pytest.mark.parametrize("name", FILES)
def test_any_legal_file_comes_back_with_the_same_hashes(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And holds no secret; the env file of another day, and the shell's, change nothing of it."""
    kept = write(tmp_path, FILES[name])
    work = kept.work()
    was = rendered(work.project, work.cli)
    release = kept.release()
    assert "canary" not in kept.written(release)
    same(kept, release, was)
    for variable in ("DATA", "FOO", "NOTHING_AT_ALL", "ROOT"):
        monkeypatch.setenv(variable, "/another")
    same(kept, release, was)


@pytest.mark.parametrize("name", ENV_FILES)
def test_env_files_come_back_as_containers_saw_them(name: str, tmp_path: Path) -> None:
    """Every value to the letter; secrets are today's, and not in the release."""
    kept = write(tmp_path, ENV_FILES[name])
    work = kept.work()
    was = work.cli.render(work.project)
    release = kept.release()
    assert "canary" not in kept.written(release)
    project, cli = kept.back(release)
    assert cli.render(project) == was


def test_env_files_that_only_the_environment_names_hold_no_less_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compose reads them in the place of `.env`."""
    text = "services: {w: {image: x, command: 'run ${A_TOKEN}'}}"
    kept = write(tmp_path, {"compose.yml": text, "other.env": "A_TOKEN=canary-named\n"})
    monkeypatch.setenv("COMPOSE_ENV_FILES", str(tmp_path / "project" / "other.env"))
    release = kept.release()
    assert set(release.secrets) == {"A_TOKEN"}
    assert "canary" not in kept.written(release)


def test_what_was_deployed_without_a_variable_comes_back_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release of the default comes back with its image, in a shell that has the variable."""
    kept = write(tmp_path, {"compose.yml": "services: {w: {image: 'app:${TAG:-1}'}}"})
    release = kept.release()
    monkeypatch.setenv("TAG", "2")
    project, cli = kept.back(release)
    assert cli.render(project)["services"]["w"]["image"] == "app:1"
    assert kept.moved == [("sha256:app:1", "app:1")]


def test_todays_secrets_are_used_and_named(tmp_path: Path) -> None:
    """By variable, by place in an env file; the written one that is the same elsewhere is found by itself."""
    body = "image: x, env_file: w.env, environment: {A: '${A_TOKEN}'}, command: [run, '--pw=same-one']"
    text = f"services: {{w: {{{body}}}}}"
    kept = write(
        tmp_path, {"compose.yml": text, "w.env": "X_PASSWORD=first\nY_SECRET=same-one\n", ".env": "A_TOKEN=one1"}
    )
    release = kept.release()
    place = tmp_path / "project"
    (place / "w.env").write_text("X_PASSWORD='se$$cond'\nY_SECRET=same-one\n")
    (place / ".env").write_text("A_TOKEN=two2\n")
    found, cli, differing = give_back(kept.work(), release)
    service = cli.render(found.project)["services"]["w"]
    assert service["environment"] == {"A": "two2", "X_PASSWORD": "se$$cond", "Y_SECRET": "same-one"}
    assert service["command"] == ["run", "--pw=same-one"]
    assert differing == ("A_TOKEN", "services.w.environment.X_PASSWORD")


def test_a_secret_that_is_gone_refuses_before_a_tag_moves(tmp_path: Path) -> None:
    """By name; nothing was touched."""
    kept = write(
        tmp_path,
        {"compose.yml": "services: {w: {image: x, environment: {A: '${A_TOKEN}'}}}", ".env": "A_TOKEN=one1"},
    )
    release = kept.release()
    (tmp_path / "project" / ".env").write_text("")
    with pytest.raises(Refused, match="A_TOKEN"):
        kept.back(release)
    assert kept.moved == []


def test_what_compose_refuses_moves_no_tag(tmp_path: Path) -> None:
    """All or nothing: the file is read before the first image gets its tag."""
    kept = write(tmp_path, {"compose.yml": "services: {w: {image: x}}"})
    release = kept.release()
    (store(kept.work()).directory(release.number) / FLAT).write_text("services: {w: {image: x, links: 7}}")
    with pytest.raises(Refused):
        kept.back(release)
    assert kept.moved == []


def test_a_rollback_can_be_rolled_back_to(tmp_path: Path) -> None:
    """The file of a release that came back is kept again as it was, variables and written secrets alike."""
    kept = write(tmp_path, FILES["texts that look like numbers"] | {".env": "DB_PASSWORD=canary-pw"})
    release = kept.release()
    work = kept.work()
    found, cli, _ = give_back(work, release)
    again = Work(work.home, found, work.stack, work.engine, cli, work.redactor)
    flat = draft(again, "rollback", {}, of=release.number)[1]
    assert yaml.safe_load(flat) == yaml.safe_load((store(work).directory(release.number) / FLAT).read_text())
    assert "canary" not in flat


def test_a_deployment_of_some_services_comes_back_as_it_was(tmp_path: Path) -> None:
    """The others with the file that they were deployed from."""
    text = "services: {a: {image: 'x:${TAG}', environment: {P: '${A_TOKEN}'}}, b: {image: 'y:${TAG}'}}"
    kept = write(tmp_path, {"compose.yml": text, ".env": "TAG=1\nA_TOKEN=one1\n"})
    kept.release()
    (tmp_path / "project" / ".env").write_text("TAG=2\nA_TOKEN=one1\n")
    work = kept.work()
    release = store(work).append(*within(work, draft(work, "deploy", {}), {"a"}))
    project, cli = kept.back(release)
    services = cli.render(project)["services"]
    assert {name: body["image"] for name, body in services.items()} == {"a": "x:2", "b": "y:1"}
    assert services["a"]["environment"] == {"P": "one1"}
    assert set(release.secrets) == {"A_TOKEN"}


def test_a_release_of_an_earlier_form_is_refused_by_name(tmp_path: Path) -> None:
    """And the next deployment is a release again, although nothing has changed."""
    kept = write(tmp_path, {"compose.yml": "services: {w: {image: x}}"})
    work = kept.work()
    release, flat, sources = draft(work, "deploy", {})
    old = store(work).append(release.model_copy(update={"schema_version": 1}), flat, sources)
    assert not old.restorable
    assert old.content() != release.content()
    with pytest.raises(Refused, match="release 1 has the form of an earlier version"):
        kept.back(old)
