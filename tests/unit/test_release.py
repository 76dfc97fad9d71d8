"""Releases, secrets kept out of sight, variables, causes, overlays."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from compose.stack import dotenv
from compose.stack.causes import bound_port, cause_of_exit, cause_of_refusal
from compose.stack.data_format import conflict, image_major
from compose.stack.errors import Refused
from compose.stack.images import Source, offline_overlay, sources
from compose.stack.literals import put_back, take_out, with_environment
from compose.stack.observed import Container
from compose.stack.redact import HIDDEN, Redactor, hide, is_secret_name, secret_values, url_password
from compose.stack.release import ImageRecord, Release, changed_secrets, check_chain, kept_images
from compose.stack.roles import Role
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


def test_written_secrets_become_variables_and_come_back() -> None:
    """A release's file holds no secret; today's files give it back; one that is gone is named."""
    flat = "services:\n  hunter2:\n    image: hunter2:1\n    environment:\n      P: hunter2\n      U: http://a:hunter2@h\n"
    sealed, names = take_out(flat, Redactor(frozenset({"hunter2"})), keyed)
    body = yaml.safe_load(sealed)["services"]["hunter2"]
    assert body["image"] == "hunter2:1"
    assert body["environment"]["P"] == f"${{{names[0]}}}"
    assert put_back(sealed, ["hunter2"], keyed) == ({names[0]: "hunter2"}, ())
    assert put_back(sealed, ["other1"], keyed) == ({}, names)


def test_a_file_without_written_secrets_is_kept_as_it_is() -> None:
    """Not a byte changes."""
    flat = "services: {a: {image: x, environment: {P: '${PW}'}}}"
    assert take_out(flat, Redactor(frozenset({"hunter2"})), keyed) == (flat, ())


def keyed(value: str) -> str:
    return f"{hash(value) & 0xFFFFFFFFFFFFFFFF:016x}"


def test_the_default_of_a_variable_that_is_set_is_not_asked_for():
    """`${TOKEN:-written}`: with a TOKEN of today nobody needs what was written."""
    flat = "services:\n  a:\n    environment:\n      T: ${TOKEN:-hunter2}\n"
    sealed, names = take_out(flat, Redactor(frozenset({"hunter2"})), keyed)
    assert put_back(sealed, [], keyed) == ({}, names)
    assert put_back(sealed, [], keyed, {"TOKEN"}) == ({}, ())


def test_env_files_come_back_as_they_were():
    """What an env file said then is in the file of the rollback; a secret of it is today's, by a variable."""
    flat = "services:\n  a:\n    env_file: [x.env]\n    environment: {OWN: $MINE}\n  b: {image: y}\n"
    recorded = {"a": {"environment": {"OWN": "m", "LEVEL": "costs $$5", "PASSWORD": "secret:1"}}}
    text, values, gone = with_environment(flat, recorded, {"a": {"PASSWORD": "to$$day"}}, keyed)
    (variable,) = values
    assert values[variable] == "to$day"
    service = yaml.safe_load(text)["services"]["a"]
    assert service == {"environment": {"OWN": "$MINE", "LEVEL": "costs $$5", "PASSWORD": f"${{{variable}}}"}}
    assert gone == ()
    assert with_environment(flat, recorded, {}, keyed)[2] == ("a.environment.PASSWORD",)


def test_services_that_differ_in_case_keep_their_own_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """`Web` and `web` are two services to Compose: each has a tag of its own."""
    from types import SimpleNamespace

    from tasks import releases

    tags: dict[str, str] = {}
    engine = SimpleNamespace(tagged=lambda keep: dict(tags), tag=lambda image, tag: tags.update({tag: image}))
    monkeypatch.setattr(releases, "store", lambda work: SimpleNamespace(all=list))
    monkeypatch.setattr(releases, "kept_images", lambda all_releases: {"1", "2"})
    images = {"Web": SimpleNamespace(id="1"), "web": SimpleNamespace(id="2")}
    made = SimpleNamespace(project="p", number=3, images=images)
    releases.keep_images(SimpleNamespace(engine=engine), made)  # type: ignore[arg-type]
    assert tags == {"sutazai-ops-keep/p:Web-r3": "1", "sutazai-ops-keep/p:web-r3": "2"}
