"""Which model answers, and whether it is the demonstration model: the same in backend and coordinator."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import backend_agi.models
import pytest
import task_coordinator.agents

Choose = Callable[[Sequence[str], Sequence[str]], str | None]
Demonstration = Callable[[str, Mapping[str, Any]], bool]
CHOOSERS = [backend_agi.models.choose_model, task_coordinator.agents.choose_model]
TELLERS = [backend_agi.models.is_demonstration, task_coordinator.agents.is_demonstration]
LOCAL = "model-registry:5000/sutazai/demonstration:1"


@pytest.mark.parametrize("choose", CHOOSERS)
@pytest.mark.parametrize(
    ("preference", "available", "chosen"),
    [
        (["tinyllama"], ["tinyllama:latest"], "tinyllama:latest"),
        (["tinyllama:latest", LOCAL], [LOCAL], LOCAL),
        (["tinyllama", LOCAL], [LOCAL, "tinyllama:latest"], "tinyllama:latest"),
        (["tinyllama"], ["tinyllama:1.1b"], None),
        (["host:5000/a/b"], ["host:5000/a/b:latest"], "host:5000/a/b:latest"),
        ([], ["tinyllama:latest"], None),
        (["tinyllama"], [], None),
    ],
)
def test_first_preferred_model_that_is_there(
    choose: Choose, preference: list[str], available: list[str], chosen: str | None
) -> None:
    """Preference decides, a name without a tag means latest, and a port is not a tag."""
    assert choose(preference, available) == chosen


@pytest.mark.parametrize("tell", TELLERS)
@pytest.mark.parametrize(
    ("name", "show", "demonstration"),
    [
        ("tinyllama:latest", {"model_info": {"general.name": "TinyLlama"}}, False),
        ("copy:1", {"model_info": {"general.name": "SutazAI demonstration"}}, True),
        (LOCAL, {}, True),
        ("tinyllama:latest", {"model_info": None}, False),
    ],
)
def test_demonstration_model_is_known_under_any_name(
    tell: Demonstration, name: str, show: dict[str, Any], demonstration: bool
) -> None:
    """The model's own metadata tells, so that a copy under another name is known too."""
    assert tell(name, show) is demonstration
