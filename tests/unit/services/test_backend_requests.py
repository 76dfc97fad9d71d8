"""What the backend accepts, and what it makes of answers."""

import pytest
from backend_agi.errors import ApiError, explain, not_served
from backend_agi.requests import Documents, Embedding, Prompt, Search
from backend_agi.routes.orchestration import state
from backend_agi.settings import REQUIRED, Settings, SettingsError
from backend_agi.vectors import nearest
from pydantic import ValidationError

ENV = dict.fromkeys(REQUIRED, "x")


@pytest.mark.parametrize("key", ["message", "prompt", "query", "description", "task"])
def test_a_prompt_may_have_any_of_its_old_names(key: str) -> None:
    """Clients of the original call it differently from route to route."""
    assert Prompt.model_validate({key: "hello"}).message == "hello"


def test_options_name_the_limit_and_only_what_was_asked() -> None:
    """No temperature means the model's own."""
    assert Prompt.model_validate({"prompt": "x"}).options(64) == {"num_predict": 64}
    asked = Prompt.model_validate({"prompt": "x", "max_tokens": 5, "temperature": 0})
    assert asked.options(64) == {"num_predict": 5, "temperature": 0}


def test_columns_of_different_lengths_are_refused() -> None:
    """Two documents with one id would be stored crookedly."""
    with pytest.raises(ValidationError, match="1 ids for 2 documents"):
        Documents(documents=["a", "b"], ids=["1"])


def test_a_search_for_nothing_is_refused() -> None:
    """Neither text nor vector: nothing to look for."""
    with pytest.raises(ValidationError, match="query or embedding"):
        Search()


def test_one_text_or_many() -> None:
    """A single text is a list of one; an empty list is refused."""
    assert Embedding.model_validate({"text": "a"}).texts == ["a"]
    with pytest.raises(ValidationError):
        Embedding.model_validate({"input": []})


def test_nearest_pairs_the_columns() -> None:
    """ChromaDB answers in columns, the API in rows."""
    found = {"ids": [["1"]], "documents": [["d"]], "metadatas": [[None]], "distances": [[0.5]]}
    assert nearest(found) == [{"id": "1", "document": "d", "metadata": None, "distance": 0.5}]


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (["finished", "finished"], "finished"),
        (["finished", "queued"], "running"),
        (["finished", "failed", "running"], "failed"),
        (["finished", "unknown"], "unknown"),
    ],
)
def test_state_of_a_workflow(states: list[str], expected: str) -> None:
    """Failed as soon as one task is, finished when all are."""
    assert state([{"state": name} for name in states]) == expected


def test_settings_name_every_problem_and_no_value() -> None:
    """All at once, and never what was in a variable."""
    env = {**ENV, "PORT": "hunter2", "API_TOKEN": ""}
    del env["SECRET_KEY"]
    with pytest.raises(SettingsError) as raised:
        Settings.from_env(env)
    for part in ("API_TOKEN is not set", "SECRET_KEY is not set", "PORT is not a number"):
        assert part in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_secrets_are_not_in_the_settings_repr() -> None:
    """A settings object in a log line shows no secret."""
    secret = {key: f"hidden-{key}" for key in ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "API_TOKEN", "SECRET_KEY")}
    settings = Settings.from_env({**ENV, **secret})
    assert "hidden" not in repr(settings)
    assert set(settings.secrets) == set(secret.values())


def test_errors_carry_status_service_and_reason() -> None:
    """501 says which service is missing and why."""
    error = not_served("qdrant", "not here")
    assert (error.status, error.body()) == (501, {"detail": "not here", "service": "qdrant"})
    assert isinstance(error, ApiError)


def test_explain_is_one_short_line_without_secrets() -> None:
    """Errors of libraries quote what they were given."""
    assert explain(RuntimeError("a pw b\nsecond"), ["pw", ""]) == "a *** b"
    assert explain(TimeoutError()) == "no answer in time"
    assert explain(ValueError()) == "ValueError"
    assert len(explain(RuntimeError("x" * 999))) == 200
