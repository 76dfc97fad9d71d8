"""Releases, secrets kept out of sight, variables, causes, overlays."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from compose.stack import dotenv
from compose.stack.causes import bound_port, cause_of_exit, cause_of_refusal
from compose.stack.data_format import conflict, image_major
from compose.stack.errors import Refused
from compose.stack.images import Source, offline_overlay, sources
from compose.stack.observed import Container
from compose.stack.redact import HIDDEN, Redactor, hide, is_secret_name, secret_values, url_password
from compose.stack.release import ImageRecord, Release, changed_secrets, check_chain, kept_images
from compose.stack.roles import Role
from compose.stack.sealing import (
    candidates,
    fits,
    merged,
    passed_through,
    profiles_of,
    put_back,
    take_out,
    token,
    with_variables,
)
from compose.stack.service import parse_stack
from compose.stack.variables import env_file_text, names_used


def chain(count: int) -> list[Release]:
    made: list[Release] = []
    for number in range(count):
        image = ImageRecord(reference="x", id=f"sha256:{number}")
        release = Release(
            number=number, kind="deploy", created="2026-01-01", project="p",
            previous=made[-1].hash if made else "", images={"a": image}, secrets={"S": "1"},
        )  # fmt: skip
        made.append(release.sealed())
    return made


def test_a_whole_chain_is_accepted() -> None:
    """Records as they were written pass."""
    check_chain(chain(4))


def test_an_edited_record_is_refused() -> None:
    """Any change to a record is seen, even with its place in the chain intact."""
    made = chain(3)
    made[1] = made[1].model_copy(update={"project": "other"})
    with pytest.raises(Refused, match="release 1"):
        check_chain(made)


def test_a_missing_record_is_refused() -> None:
    """A record taken out of the middle is seen."""
    made = chain(3)
    with pytest.raises(Refused, match="a record is missing"):
        check_chain([made[0], made[2]])


def test_a_record_survives_its_own_json() -> None:
    """What is read back has the hash that was written."""
    release = chain(1)[0]
    again = Release.model_validate(json.loads(release.model_dump_json()))
    assert again.digest() == release.hash


def test_content_ignores_when_and_how_healthy() -> None:
    """The same stack deployed twice is the same content."""
    first, second = chain(2)
    assert first.content() != second.content()
    assert first.content() == first.model_copy(update={"created": "later", "number": 9}).content()


def test_images_of_the_last_releases_are_kept() -> None:
    """Five by default."""
    assert kept_images(chain(7)) == {f"sha256:{n}" for n in range(2, 7)}


def test_secrets_that_differ_are_named() -> None:
    """A secret that is gone today is no difference: nothing uses it."""
    assert changed_secrets(chain(1)[0], {"S": "2"}) == ("S",)
    assert changed_secrets(chain(1)[0], {"S": "1", "T": "3"}) == ()


@pytest.mark.parametrize(
    "name", ["DB_PASSWORD", "API_KEY", "secret", "NEO4J_AUTH", "JWT_TOKEN", "SENTRY_DSN", "PGPASS_PASS"]
)
def test_names_of_secrets(name: str) -> None:
    """Names that hide something."""
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["POSTGRES_PASSWORD_FILE", "AUTHOR", "KEYBOARD", "TZ", "POSTGRES_USER", "MONKEY"])
def test_names_of_no_secrets(name: str) -> None:
    """Names that hide nothing, and files that hold secrets elsewhere."""
    assert not is_secret_name(name)


@given(
    st.lists(st.text(min_size=4, max_size=12).filter(lambda s: s.strip() == s and HIDDEN not in s), max_size=4),
    st.text(),
)
def test_no_secret_survives_redaction(secrets: list[str], around: str) -> None:
    """Whatever the text and the secrets: none of them is in the result."""
    kept = [secret for secret in secrets if len(secret) >= 4 and not set(secret) <= set(HIDDEN)]
    text = around + "".join(kept)
    result = Redactor().also(kept).text(text)
    assert all(secret not in result for secret in kept)


def test_secrets_are_found_in_environment_urls_and_configs() -> None:
    """By name, as a URL's password, and as content of a config."""
    stack = parse_stack(
        {
            "services": {"a": {"environment": {"X_TOKEN": "tok-1", "URL": "http://u:pw-22@h/"}}},
            "configs": {"c": {"content": "inline-3"}},
        }
    )
    assert {"tok-1", "pw-22", "inline-3", "var-4"} <= secret_values(stack, {"SECRET_KEY": "var-4", "TZ": "utc"})
    assert url_password("no url") is None


def test_hidden_structures_compare_but_do_not_tell() -> None:
    """A secret becomes a keyed hash wherever it stands; the rest stays."""
    hidden = hide(
        {"environment": {"A": "plain", "B_TOKEN": "t"}, "command": ["x", "--pw=s3cret"]},
        Redactor(frozenset({"s3cret"})),
        lambda v: f"h{len(v)}",
    )
    assert hidden == {"environment": {"A": "plain", "B_TOKEN": "secret:h1"}, "command": ["x", "secret:h11"]}


@given(
    st.dictionaries(
        st.from_regex(r"[A-Z][A-Z0-9_]{0,8}", fullmatch=True),
        st.text(alphabet=st.characters(codec="ascii", exclude_categories=("Cc",))),
        max_size=5,
    )
)
def test_env_files_are_read_back_as_written(values: dict[str, str]) -> None:
    """Quotes, dollars and backslashes survive."""
    assert dotenv.parse(env_file_text(values)) == values


def test_variables_in_use_are_found() -> None:
    """Braces, defaults and bare names count; an escaped dollar does not."""
    assert names_used("a: ${A:-x} $B $$C ${D:?m} $${E} $$$F") == ("A", "B", "D", "F")


@pytest.mark.parametrize(
    ("facts", "said", "cause"),
    [
        ({"oom_killed": True}, "", "ran out of memory"),
        ({"exit_code": 127}, "", "not found"),
        ({"exit_code": 126}, "", "cannot be executed"),
        ({"exit_code": 1}, "open /x: Read-only file system", "read-only"),
        ({"exit_code": 1}, "bind: Address already in use", "port is already in use"),
        ({"exit_code": 1}, "write: no space left on device", "disk is full"),
        ({"exit_code": 3}, "", "exited with code 3"),
        ({"error": "driver failed: Bind for 0.0.0.0:80 failed: port is already allocated"}, "", "port 80"),
    ],
)
def test_causes_are_named(facts: dict[str, object], said: str, cause: str) -> None:
    """What the engine or the last words tell is in the sentence."""
    assert cause in cause_of_exit(Container(id="1", name="n", service="s", **facts), said)  # type: ignore[arg-type]


def test_a_kill_that_nobody_asked_for_points_to_the_limit() -> None:
    """The engine can miss the kernel's word; what is likely is said as that, with the limit in MiB."""
    killed = Container(id="1", name="n", service="s", exit_code=137)
    assert cause_of_exit(killed, "") == "it was killed (exit code 137)"
    assert "most likely out of memory: its limit is 10 MiB" in cause_of_exit(killed, "", "10485760")


def test_ports_are_read_from_the_engines_words() -> None:
    """Both wordings of the engine; other refusals have no port."""
    assert bound_port("Bind for 127.0.0.1:5432 failed: port is already allocated") == 5432
    assert bound_port("listen tcp4 0.0.0.0:5432: bind: address already in use") == 5432
    assert bound_port("no such image") is None
    assert "not found" in cause_of_refusal('exec: "x": executable file not found in $PATH')


def test_own_builds_are_built_and_the_rest_is_pulled() -> None:
    """Whatever the policy."""
    stack = parse_stack({"services": {"a": {"image": "x", "build": {"context": "."}}, "b": {"image": "y"}}})
    assert sources(stack, {"a": "x", "b": "y"}, "auto") == {"x": Source.BUILD, "y": Source.PULL}


def test_the_overlay_holds_only_what_is_needed() -> None:
    """Chosen services, additions, and own builds; paths made absolute."""
    stack = parse_stack(
        {
            "services": {
                "db": {"image": "pg"},
                "cache": {"image": "r"},
                "app": {"image": "a", "build": {"context": "."}},
            }
        }
    )
    recipes = {
        "services": {
            "db": {"image": "mine", "build": {"context": "./images/db"}}, "cache": {"image": "mine2"},
            "app": {"build": {"args": {"BASE": "b"}}}, "extra": {"image": "e"},
        },
        "secrets": {"ca": {"file": "../ca.pem"}},
    }  # fmt: skip
    made = yaml.safe_load(offline_overlay(recipes, stack, frozenset({"db"}), "/c"))
    assert list(made["services"]) == ["db", "app", "extra"]
    assert made["services"]["db"]["build"]["context"] == "/c/./images/db"
    assert made["secrets"]["ca"]["file"] == "/c/../ca.pem"


@pytest.mark.parametrize(
    ("data", "image", "bad"), [("16", "16", False), ("15", "16", True), ("17", "16", True), (None, "16", False)]
)
def test_data_formats_must_match_either_way(data: str | None, image: str, bad: bool) -> None:
    """An older and a newer server alike are refused; nothing known is no reason."""
    assert bool(conflict(Role.POSTGRES, data, image)) is bad
    assert image_major(Role.POSTGRES, {"PG_VERSION": "16.4"}) == "16"
    assert image_major(Role.REDIS, {"PG_MAJOR": "16"}) is None


def keyed(value: str) -> str:
    return f"{hash(value) & 0xFFFFFFFFFFFFFFFF:016x}"


def sealed(flat: str, *secrets: str) -> str:
    return take_out(flat, Redactor(frozenset(secrets)), keyed)


def service(flat: str) -> dict[str, Any]:
    body: dict[str, Any] = yaml.safe_load(flat)["services"]["a"]
    return body


def test_written_secrets_become_variables_and_come_back() -> None:
    """A release's file holds no secret, but names; each is found by its value, or in its place."""
    environment = "{P: hunter2, U: 'http://a:hunter2@h'}"
    flat = f"services: {{a: {{image: 'hunter2:1', environment: {environment}, command: [hunter2]}}}}"
    kept = sealed(flat, "hunter2")
    body = service(kept)
    assert body["image"] == "hunter2:1"
    assert kept.count("hunter2") == 1
    back = put_back(kept, {}, ["hunter2"], keyed)
    assert (set(back.values.values()), back.differing, back.gone) == ({"hunter2"}, (), ())
    today = {"services": {"a": {"environment": {"P": "new", "U": "http://b:new@h"}, "command": ["--quiet"]}}}
    back = put_back(kept, today, ["new", "hunter2"], keyed)
    assert sorted(back.values.values()) == ["hunter2", "new", "new"], "the first word of a command is no place"
    assert back.differing == ("services.a.environment.P", "services.a.environment.U")
    assert put_back(kept, {}, ["other1"], keyed).gone == (
        "services.a.environment.P", "services.a.environment.U", "services.a.command.0",
    )  # fmt: skip


def test_a_file_without_written_secrets_is_kept_as_it_is() -> None:
    """Not a byte changes."""
    flat = "services: {a: {image: x, environment: {P: '${PW}'}}}"
    assert sealed(flat, "hunter2") == flat


def test_dollars_of_a_kept_file_stay_what_they_are() -> None:
    """Compose writes each twice; a secret with dollars is found, and what only looks like a variable is none."""
    flat = "services: {a: {environment: {P: 's$$$$x1', Q: '$$s$$$$x1 ${V} $${W}', R: '^a$$b$$'}}}"
    kept = service(sealed(flat, "s$$x1"))["environment"]
    assert "x1" not in "".join(kept.values())
    assert kept["Q"].startswith("$$${OPS_LITERAL_")
    assert kept["Q"].endswith(" ${V} $${W}")
    assert kept["R"] == "^a$$b$$"
    assert set(
        put_back(str({"services": {"a": {"environment": kept}}}), {}, ["s$$x1"], keyed).values.values()
    ) == {"s$$x1"}


def test_texts_that_compose_takes_for_numbers_are_quoted() -> None:
    """YAML of another version reads `1e3` as a thousand."""
    kept = sealed("services: {a: {environment: {A: '1e3', B: '0o17', P: hunter2}, scale: 2}}", "hunter2")
    assert '"1e3"' in kept
    assert '"0o17"' in kept
    assert service(kept)["scale"] == 2


def test_an_optional_dependency_that_is_left_out_is_there_by_name() -> None:
    """Compose refuses the file without it, and another list would be another configuration."""
    dependency = "{b: {condition: service_started, required: false}}"
    kept = sealed(f"services: {{a: {{depends_on: {dependency}, profiles: [p]}}}}")
    assert yaml.safe_load(kept)["services"]["b"] == {"image": "ops-absent", "profiles": ["ops-absent"]}
    assert profiles_of(kept) == ("p",)


def test_a_variable_stands_only_where_its_value_decides_of_nothing() -> None:
    """Values are put back into a render with tokens: where that is not the render, it was a port or a path."""
    one, two = token("A_TOKEN"), token("AUTH_PORT")
    values = {one: "a b", two: "80"}
    assert fits({"e": ["x a b", 1]}, {"e": [f"x {one}", 1]}, values)
    assert fits({"command": ["run", "a", "b"]}, {"command": ["run", one]}, values), "words are split afterwards"
    assert not fits({"p": 80}, {"p": two}, values)
    assert not fits({"image": "a b/x"}, {"image": f"{one}/x"}, values), "a release knows its images"
    assert not fits({"a b": 1}, {one: 1}, values), "Compose fills no keys in"
    assert not fits({"v": {"type": "bind"}}, {"v": {"type": "volume", "source": one}}, values)
    assert not fits(["a", "b"], [one], values)
    assert with_variables(f"x: pre{one}", ["A_TOKEN"]) == "x: pre${A_TOKEN}"


def test_which_variables_are_secrets() -> None:
    """By name, with a value; never those that make docker itself another one."""
    known = {"A_TOKEN": "x", "B": "y", "C_SECRET": "", "DOCKER_AUTH_CONFIG": "{}", "OPS_LITERAL_1": "z"}
    assert candidates(known) == ("A_TOKEN",)


def test_what_a_container_would_take_from_the_shell() -> None:
    """A name without a value had none when the file was kept."""
    assert passed_through("services: {a: {environment: {A: , B: x}}, b: {image: y}}") == {"A"}


def test_names_of_an_env_file() -> None:
    """Of everything that may be an assignment."""
    text = "A=1\nexport B='x\nC: y\n# D=1\n  E = 2\nA=3\n"
    assert dotenv.names(text) == ("A", "B", "C", "E")


@pytest.mark.parametrize(("form", "restorable"), [(1, False), (2, True)])
def test_records_of_the_first_form_cannot_be_brought_back(form: int, restorable: bool) -> None:
    """They are read and chained as ever; the next deployment is another content."""
    release = Release(number=1, kind="deploy", created="x", project="p", schema_version=form)
    assert release.restorable is restorable
    assert release.content() != release.model_copy(update={"schema_version": 3}).content()
    check_chain([release.sealed()])


def test_services_that_differ_in_case_keep_their_own_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """`Web` and `web` are two services to Compose: each has a tag of its own."""
    from types import SimpleNamespace

    from tasks import releases

    tags: dict[str, str] = {}
    engine = SimpleNamespace(
        tagged=lambda keep: dict(tags), tag=lambda image, tag: tags.update({tag: image}),
        images=lambda ids: dict.fromkeys(ids, True),
    )  # fmt: skip
    monkeypatch.setattr(releases, "store", lambda work: SimpleNamespace(all=list))
    monkeypatch.setattr(releases, "kept_images", lambda all_releases: {"1", "2"})
    images = {"Web": SimpleNamespace(id="1"), "web": SimpleNamespace(id="2")}
    made = SimpleNamespace(project="p", number=3, images=images)
    releases.keep_images(SimpleNamespace(engine=engine), made)  # type: ignore[arg-type]
    assert tags == {"sutazai-ops-keep/p:Web-r3": "1", "sutazai-ops-keep/p:web-r3": "2"}


def test_a_deployment_of_some_services_records_those() -> None:
    """The others stay as they were deployed: their files are still a change for the next deployment."""

    def of(version: str, *names: str) -> Release:
        every = {name: f"{name}{version}" for name in names}
        return Release(
            number=1, kind="deploy", created="x", project="p", services={k: {"v": v} for k, v in every.items()},
            images={k: ImageRecord(reference=k, id=v) for k, v in every.items()},
            config_files={k: {"/f": v} for k, v in every.items()},
        )  # fmt: skip

    both = of("2", "app", "nginx", "new").within({"app"}, of("1", "app", "nginx"))
    assert both.config_files == {"app": {"/f": "app2"}, "nginx": {"/f": "nginx1"}}
    assert {name: image.id for name, image in both.images.items()} == {"app": "app2", "nginx": "nginx1"}
    assert both.services == {"app": {"v": "app2"}, "nginx": {"v": "nginx1"}}
    assert both.restorable
    first = of("1", "app", "nginx").within({"app"}, None)
    assert (set(first.services), set(first.images)) == ({"app"}, {"app"})
    seen = of("1", "app", "nginx").model_copy(update={"services": {}})
    assert not of("2", "app", "nginx").within({"app"}, seen).restorable, "nobody knows what nginx was made of"


def test_the_file_of_a_deployment_of_some_services() -> None:
    """Each service with the configuration, networks and volumes that it was deployed with."""
    then = """
name: p
services:
  app: {image: 'a:1', depends_on: {tool: {required: false}}}
  nginx: {image: 'n:1', configs: [{source: c}], secrets: [{source: s}], profiles: [web]}
  tool: {image: ops-absent, profiles: [ops-absent]}
configs: {c: {content: one}, d: {content: one}}
"""
    now = """
name: p
services:
  app: {image: 'a:2', configs: [{source: d}], networks: {n: null}, depends_on: {other: {required: false}}}
  nginx: {image: 'n:2', configs: [{source: c}]}
  new: {image: x}
  other: {image: ops-absent, profiles: [ops-absent]}
configs: {c: {content: two}, d: {content: two}}
networks: {n: {}}
"""
    body = yaml.safe_load(merged(now, then, {"app"}))
    assert {name: one["image"] for name, one in body["services"].items()} == {
        "app": "a:2", "nginx": "n:1", "tool": "ops-absent", "other": "ops-absent",
    }  # fmt: skip
    assert body["configs"] == {"c": {"content": "one"}, "d": {"content": "two"}}
    assert body["networks"] == {"n": {}}
    assert set(yaml.safe_load(merged(now, "", {"app"}))["services"]) == {"app", "other"}


def test_an_inline_config_of_several_lines_is_kept_as_a_file() -> None:
    """A rollback has to bring it back; secrets in it are hidden, and one of a single line: it may be a token."""
    many, one = "listen = 80\npassword = hunter2\n", "a-token-1234"
    flat = yaml.safe_dump({"services": {}, "configs": {"m": {"content": many}, "o": {"content": one}}})
    kept = sealed(flat, "hunter2", many.strip(), one)
    body = yaml.safe_load(kept)["configs"]
    assert body["m"]["content"].startswith("listen = 80\npassword = ${OPS_LITERAL_")
    assert body["o"]["content"].startswith("${OPS_LITERAL_")
    today = {"configs": {"o": {"content": "another-token"}}}
    assert put_back(kept, today, ["hunter2"], keyed).gone == ("configs.o.content",), "another one is not that one"
