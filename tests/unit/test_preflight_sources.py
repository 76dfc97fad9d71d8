"""The author's own YAML: every structural problem at once, by service and key."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from compose.stack.preflight.documents import read, texts
from compose.stack.preflight.findings import Finding
from compose.stack.preflight.repair import FIRST, made_up_values, overlay
from compose.stack.preflight.source_checks import check_sources
from compose.stack.preflight.sources import Sources, Unread, env_files, extended_files, includes
from tests.preflighting import sources


def found(project: Sources, refusal: str = "refused") -> list[Finding]:
    """Everything found in a project that Compose refuses."""
    return [item for item in check_sources(project, refusal) if item.code != "compose-refuses"]


def places(project: Sources, code: str) -> list[str]:
    """Where one code was found."""
    return [item.place for item in found(project) if item.code == code]


def test_everything_is_named_at_once() -> None:
    """Compose stops at its first error; we tell all of them."""
    text = """
services:
  a:
    image: x
    depends_on: [nope]
    networks: [ghost]
    volumes: ["data:/d", "./local:/l", "/abs:/m", "/anonymous"]
    secrets: [s]
    configs: [{source: c}]
    env_file: no.env
  b: {}
  c: {image: x, imagee: y}
  d: {image: x, depends_on: [e]}
  e: {image: x, depends_on: {d: {condition: service_healthy}}}
  f: {image: x, network_mode: "service:gone", volumes_from: ["lost:ro"], links: ["away:alias"]}
  g: {image: x, container_name: g, deploy: {replicas: 3}}
"""
    project = sources(text, paths={"/p/no.env": "missing"})
    assert places(project, "undefined-dependency") == [
        "a.depends_on.nope", "f.network_mode", "f.links.0", "f.volumes_from.0",
    ]  # fmt: skip
    assert places(project, "undefined-resource") == [
        "a.volumes.0", "a.networks.ghost", "a.secrets.0", "a.configs.0",
    ]  # fmt: skip
    assert places(project, "no-image") == ["b.image"]
    assert places(project, "unknown-key") == ["c.imagee"]
    assert places(project, "dependency-cycle") == ["d.depends_on"]
    assert places(project, "env-file-missing") == ["a.env_file.0"]
    assert places(project, "container-name-replicas") == ["g.container_name"]


def test_lines_are_named() -> None:
    """A person finds the place without searching."""
    (item,) = found(sources("services:\n  a:\n    image: x\n    depends_on:\n      - nope\n"))
    assert "compose.yml:5" in item.what


def test_every_cycle_is_found() -> None:
    """Two circles and a service that waits for itself are three problems."""
    text = """
services:
  a: {image: x, depends_on: [b]}
  b: {image: x, depends_on: [c]}
  c: {image: x, depends_on: [a]}
  d: {image: x, depends_on: [e]}
  e: {image: x, depends_on: [d]}
  f: {image: x, depends_on: [f]}
"""
    circles = [item.what for item in found(sources(text)) if item.code == "dependency-cycle"]
    assert "f waits for itself" in circles
    assert any({"a", "b", "c"} <= set(what.split()) for what in circles)
    assert any({"d", "e"} <= set(what.split()) for what in circles)
    assert len(circles) == 3


def test_the_direction_of_a_cycle_is_right() -> None:
    """`a waits for b` is said when a depends on b."""
    needs = {"a": "b", "b": "c", "c": "a"}
    text = "".join(f"  {name}: {{image: x, depends_on: [{other}]}}\n" for name, other in needs.items())
    (item,) = found(sources(f"services:\n{text}"))
    circle = item.what.split(" waits for ")
    assert [needs[name] for name in circle[:-1]] == circle[1:]


def test_profiles_decide_who_counts() -> None:
    """A service of a profile that is not active has no problems, and nobody may need it."""
    text = """
services:
  a: {image: x, depends_on: [b]}
  b: {image: x, profiles: [extra], env_file: no.env, environment: {A: "${NOPE}"}}
  c: {image: x, depends_on: {b: {condition: service_started, required: false}}}
"""
    paths = {"/p/no.env": "missing"}
    assert places(sources(text, paths=paths), "undefined-dependency") == ["a.depends_on.b"]
    assert places(sources(text, paths=paths), "env-file-missing") == []
    active = sources(text, paths=paths, profiles=("extra",))
    assert places(active, "undefined-dependency") == []
    assert places(active, "env-file-missing") == ["b.env_file.0"]
    assert places(active, "unset-variable") == ["b.environment.A"]


def test_extends_is_followed() -> None:
    """What a base service says counts for the one that extends it; a missing base is named."""
    base = "services: {base: {image: x, depends_on: [gone], environment: {A: '${NOPE}'}}}"
    text = """
services:
  a: {extends: {file: base.yml, service: base}}
  b: {extends: {file: base.yml, service: lost}, image: x}
  c: {extends: {service: d}}
  d: {extends: {service: c}, image: x}
"""
    project = sources(text, extended={"/p/base.yml": base})
    assert places(project, "undefined-dependency") == ["a.depends_on.gone", "b.extends"]
    assert places(project, "unset-variable") == ["a.environment.A"]
    assert places(project, "no-image") == []


def test_unset_and_required_variables_by_service_and_key() -> None:
    """One finding for each service and variable; aliases and x- blocks do not double them."""
    text = """
x-common: &common
  environment: {A: "${SHARED}"}
services:
  a:
    <<: *common
    image: "x:${TAG}"
    command: ["${TAG}", "${PW:?make one}"]
  b: {<<: *common, image: x}
networks: {default: {name: "${NET}"}}
"""
    project = sources(text)
    assert sorted(places(project, "unset-variable")) == [
        "a.environment.A", "a.image", "b.environment.A", "networks.default.name",
    ]  # fmt: skip
    assert places(project, "required-variable") == ["a.command.1"]
    assert not list(check_sources(sources(text, {"SHARED": "", "TAG": "", "PW": "x", "NET": ""})))


def test_without_refusal_compose_is_the_judge() -> None:
    """When Compose reads the files, only what it lets pass is told: nothing of ours can refuse a good project."""
    text = "services: {a: {image: x, depends_on: [nope], environment: {A: '${B} ${C:?} $1'}}}\nvolumes: {unused: }"
    assert [item.code for item in check_sources(sources(text))] == ["unset-variable", "unused-volume"]


def test_a_refusal_that_we_cannot_explain_is_quoted() -> None:
    """Compose's own words are told when none of our findings is what it means."""
    text = "services: {a: {image: x, ports: ['nonsense']}}"
    items = list(check_sources(sources(text, {"PASSWORD": "canary-1"}), "invalid port: canary-1 in services.a"))
    assert [item.code for item in items] == ["compose-refuses"]
    assert "canary-1" not in items[0].what
    explained = sources("services: {a: {image: x, depends_on: [nope]}}")
    codes = [item.code for item in check_sources(explained, 'service "a" depends on undefined service "nope"')]
    assert codes == ["undefined-dependency"]
    required = sources("services: {a: {image: '${TAG:?}'}}")
    codes = [item.code for item in check_sources(required, "services.a.image: required variable TAG is missing")]
    assert codes == ["required-variable"]


@pytest.mark.parametrize(
    ("text", "line"),
    [("services:\n  a:\n    image: x\n   b:\n", 4), ("services:\n\ta: 1\n", 2), ("a: [1, 2\n", 2), ("- x\n", 1),
     ("services:\n  a: {image: x}\n  a: {image: y}\n", 3)],
)  # fmt: skip
def test_broken_yaml_has_a_line(text: str, line: int) -> None:
    """A slip in the file is told with its line."""
    items = [item for item in found(sources(text)) if item.code == "yaml-broken"]
    assert [item.key for item in items] == [f"compose.yml:{line}"]


def test_missing_files_are_named_with_who_names_them() -> None:
    """An include that is not there is told with the line that names it."""
    project = Sources(unread=(Unread("/p/no.yml", "no such file or directory", "compose.yml:1"),))
    (item,) = found(project)
    assert item.code == "file-missing"
    assert "named by compose.yml:1" in item.what


def test_reset_and_override_are_obeyed() -> None:
    """What a later file resets is not there any more."""
    first = sources("services: {a: {image: x, depends_on: [gone], volumes: ['vv:/x']}}")
    later = sources("services: {a: {depends_on: !reset [], volumes: !override ['ww:/x']}}\nvolumes: {ww: {}}")
    both = Sources((*first.documents, *later.documents))
    assert found(both) == []


def test_what_is_made_up_to_read_on() -> None:
    """Required variables get numbers of their own; env files that are missing are left out."""
    text = "services: {a: {image: 'x:${A:?}', env_file: [no.env]}, b: {image: '${B:?}${A:?}'}}"
    project = sources(text, paths={"/p/no.env": "missing"})
    assert made_up_values(project) == {"A": str(FIRST), "B": str(FIRST + 1)}
    assert overlay(project) == 'services:\n  "a":\n    env_file: !reset []\n'
    assert overlay(sources("services: {a: {image: x}}")) == ""


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_a_document_or_a_problem(text: str) -> None:
    """Whatever stands in a file, reading it ends in values or in a named problem."""
    for document in read("/p/x.yml", text):
        list(texts(document.tree))
        assert document.problems or isinstance(document.tree, dict)


wild = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
links = st.fixed_dictionaries({}, optional={"file": wild, "service": wild, "path": wild, "env_file": wild})
keys = st.sampled_from(
    ["image", "depends_on", "volumes", "networks", "secrets", "env_file", "extends", "profiles", "deploy", "scale",
     "container_name", "links", "volumes_from", "network_mode", "build"]
)  # fmt: skip
bodies = st.dictionaries(keys, wild | links, max_size=5) | wild
files = st.fixed_dictionaries(
    {"services": st.dictionaries(st.text(min_size=1, max_size=5), bodies, max_size=4) | wild},
    optional={"include": st.lists(links, max_size=2) | wild, "volumes": wild, "x-ops": wild},
)


@settings(max_examples=60, deadline=None)
@given(files)
def test_any_shape_is_survived(file: dict[str, object]) -> None:
    """The files of other people have every shape; the checks tell, they do not fall."""
    project = sources(yaml.safe_dump(file))
    list(check_sources(project, "refused"))
    for source in project.documents:
        for look in (includes, extended_files, env_files):
            list(look(source))


def test_aliases_cannot_blow_up() -> None:
    """A file that refers to itself many times over is read in a moment."""
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
    (document,) = read("/p/x.yml", bomb)
    assert len(list(texts(document.tree))) < 1000
