"""What the page shows."""

from typing import Any

import pytest
from frontend_agi.settings import Settings, SettingsError
from frontend_agi.tables import health_table, model_notice, plain, task_table

TASK: dict[str, Any] = {
    "id": "0123456789",
    "state": "finished",
    "prompt": "say",
    "result": "said",
    "error": None,
    "model": "demo:1",
    "demonstration": True,
    "attempts": 2,
}


def test_health_table_has_a_row_per_service() -> None:
    """Name, state, round trip and what was found."""
    entry = {"status": "down", "latency_ms": 2000.4, "detail": "no answer"}
    assert (
        health_table({"services": {"redis": entry}}).splitlines()[2] == "| redis | 🔴 down | 2000 ms | no answer |"
    )


def test_task_table_names_the_demonstration_model() -> None:
    """Whoever reads a result sees where it comes from."""
    row = task_table([TASK]).splitlines()[2]
    assert row == "| 01234567 | ✅ finished | say | said | demo\\:1 (demonstration) | 2 |"


@pytest.mark.parametrize("text", ["a|b", "<b>x</b>", "[x](y)", "*x*", "$x$", ":red[x]", "a\nb"])
def test_no_text_becomes_markup(text: str) -> None:
    """A model's answer cannot break the table or bring links and images."""
    cell = plain(text)
    assert "\n" not in cell
    for mark in "|<[*$:":
        assert cell.count(mark) == cell.count("\\" + mark)


def test_long_texts_are_cut() -> None:
    """A cell stays a cell."""
    assert len(plain("x" * 500)) == 160


@pytest.mark.parametrize(
    ("model", "loud", "part"),
    [
        ({"name": "tinyllama:latest", "demonstration": False}, False, "Model:"),
        ({"name": "d:1", "demonstration": True}, True, "DEMONSTRATION MODEL"),
        ({"name": None, "detail": "none yet"}, True, "No model answers: none yet"),
        (None, True, "the model server is down"),
    ],
)
def test_notice_is_loud_when_it_must_be(model: dict[str, Any] | None, loud: bool, part: str) -> None:
    """The demonstration model and a missing model are warnings, a real model is a caption."""
    text, is_loud = model_notice({"model": model})
    assert is_loud is loud
    assert part in text


def test_settings_hide_the_token() -> None:
    """The token is neither in the repr nor in an error."""
    env = {"BACKEND_URL": "http://b/", "COORDINATOR_URL": "http://c", "API_TOKEN": "hidden"}
    settings = Settings.from_env(env)
    assert settings.backend_url == "http://b"
    assert "hidden" not in repr(settings)
    with pytest.raises(SettingsError, match="API_TOKEN is not set; PORT is not a number"):
        Settings.from_env({**env, "API_TOKEN": "", "PORT": "x"})
