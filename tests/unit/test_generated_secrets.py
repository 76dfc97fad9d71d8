"""Secrets are made once, named, and never replaced under a database."""

import pytest

from blocks.home import Home
from compose.stack.errors import Failed, Refused
from tasks import secrets
from tasks.secrets import ensure_secrets, remember_settings, secret_stores

LIGHT = """
x-ops: {own: true, generated_secrets: {POSTGRES_PASSWORD: {store: postgres}, REDIS_PASSWORD: {}}}
services:
  postgres: {image: postgres, volumes: ["./init:/init:ro", "postgres_data:/var/lib/postgresql/data"]}
volumes: {postgres_data: {}}
"""


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path / "home")
    home.make()
    return home


@pytest.fixture
def light(tmp_path):
    path = tmp_path / "light.yml"
    path.write_text(LIGHT)
    return path


@pytest.fixture
def volume(monkeypatch):
    """Whether the database's volume is there; the test switches it."""
    there = {"exists": False}
    monkeypatch.setattr(secrets, "_volume_exists", lambda project, volume: there["exists"])
    return there


def test_stores_are_read_from_the_compose_file(light, tmp_path):
    """The store's named volume is found behind a bind mount; without a file the four secrets stand alone."""
    assert secret_stores(light)["POSTGRES_PASSWORD"] == ("postgres", "postgres_data")
    assert secret_stores(light)["API_TOKEN"] == ("", "")
    assert set(secret_stores(tmp_path / "none.yml")) == {
        "POSTGRES_PASSWORD",
        "REDIS_PASSWORD",
        "SECRET_KEY",
        "API_TOKEN",
    }


def test_made_once_and_kept(home, light, volume):
    """The first call makes four different strong values, the second none; a given line stays."""
    home.add_to_env({"SECRET_KEY": "mine"})
    made = ensure_secrets(home, {}, light, "t")
    assert set(made) == {"POSTGRES_PASSWORD", "REDIS_PASSWORD", "API_TOKEN"}
    values = home.stored()
    assert values["SECRET_KEY"] == "mine"
    assert len({values[name] for name in made}) == 3
    assert all(len(values[name]) >= 64 for name in made)
    volume["exists"] = True
    assert ensure_secrets(home, {}, light, "t") == ()
    assert home.stored() == values


def test_one_from_the_environment_is_kept_too(home, light, volume):
    """Later commands and schedules need it as well."""
    assert "API_TOKEN" not in ensure_secrets(home, {"API_TOKEN": "given"}, light, "t")
    assert home.stored()["API_TOKEN"] == "given"


def test_changed_or_lost_under_a_database_is_refused_until_adopted(home, light, volume):
    """The key is named, no new password is made; --adopt-secrets takes the changed one."""
    ensure_secrets(home, {}, light, "t")
    volume["exists"] = True
    text = home.env_file.read_text()
    home.env_file.write_text(text.replace("POSTGRES_PASSWORD=", "POSTGRES_PASSWORD=x"))
    with pytest.raises(Refused, match="POSTGRES_PASSWORD differs"):
        ensure_secrets(home, {}, light, "t")
    ensure_secrets(home, {}, light, "t", adopt=True)
    assert ensure_secrets(home, {}, light, "t") == ()
    home.env_file.write_text("")
    with pytest.raises(Refused, match="POSTGRES_PASSWORD is missing"):
        ensure_secrets(home, {}, light, "t")
    assert home.stored() == {}


def test_stacks_of_ours_do_not_forget_for_each_other(home, light, tmp_path, volume):
    """What a store took over is still known after the secrets of another stack were made."""
    stores = tmp_path / "stores.yml"
    text = LIGHT.replace("POSTGRES_PASSWORD", "NEO4J_PASSWORD").replace(
        "volumes: {", "x-list: !override [1]\nvolumes: {"
    )
    stores.write_text(text)
    ensure_secrets(home, {}, light, "t")
    assert "NEO4J_PASSWORD" in ensure_secrets(home, {}, stores, "t-stores")
    volume["exists"] = True
    home.env_file.write_text(home.env_file.read_text().replace("POSTGRES_PASSWORD=", "POSTGRES_PASSWORD=x"))
    with pytest.raises(Refused, match="POSTGRES_PASSWORD differs"):
        ensure_secrets(home, {}, light, "t")


def test_settings_from_the_environment_are_remembered(home, tmp_path):
    """What was given once holds for the next command; a default or a stored line is not written again."""
    home.add_to_env({"REDIS_PORT": "7000"})
    file = tmp_path / "light.yml"
    file.write_text("mem_limit: ${OLLAMA_MEMORY:-1G}\npassword: ${API_TOKEN:?}\n")
    given = {"OPS_PREFECT_PORT": "21200", "REDIS_PORT": "7001", "HTTP_PORT": "80", "PATH": "/bin"}
    given |= {"OLLAMA_MEMORY": "2G", "API_TOKEN": "secret", "HEALTH_ALERT_WEBHOOK": "https://u/token"}
    kept = remember_settings(home, given, [file])
    assert kept == ("HEALTH_ALERT_WEBHOOK", "OLLAMA_MEMORY=2G", "OPS_PREFECT_PORT=21200")
    assert home.stored()["HEALTH_ALERT_WEBHOOK"] == "https://u/token"
    assert home.settings({})["OPS_PREFECT_PORT"] == "21200"
    assert home.settings({})["REDIS_PORT"] == "7000"


@pytest.mark.parametrize(("code", "said"), [(1, "Cannot connect"), (124, "docker did not answer in 20 s")])
def test_no_password_is_made_when_the_volume_cannot_be_looked_for(home, light, monkeypatch, code, said):
    """An engine that does not answer is not a store that is not there."""
    monkeypatch.setattr(secrets, "ask", lambda argv: (code, "", said))
    with pytest.raises(Failed, match=f"postgres_data.*{said}"):
        ensure_secrets(home, {}, light, "t")
    assert home.stored() == {}


def test_links_of_kubernetes_are_no_settings(home):
    """`REDIS_PORT=tcp://…` comes from another program: it is neither refused nor remembered."""
    assert remember_settings(home, {"REDIS_PORT": "tcp://10.0.0.1:6379"}, []) == ()
    assert home.settings({"REDIS_PORT": "tcp://10.0.0.1:6379"})["REDIS_PORT"] == "6379"
