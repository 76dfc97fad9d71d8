"""What `./ops up` asks of its steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from blocks.home import Home
from compose.stack.request import DeployRequest
from deployments import up
from deployments.session import Session
from tasks.prefect_server import environment_stamp


@pytest.mark.parametrize(
    ("request_", "project", "file"),
    [
        ({"stack": "light"}, "sutazai", "docker-compose.tinyllama.yml"),
        ({"stack": "light", "project_name": "mine"}, "mine", "docker-compose.tinyllama.yml"),
        ({"stack": "stores"}, "sutazai-stores", "docker-compose.stores.yml"),
        ({"files": ["/p/shop.yml"], "project_name": "shop"}, "sutazai", "docker-compose.tinyllama.yml"),
        ({"stack": "shop", "project_name": "shop"}, "sutazai", "docker-compose.tinyllama.yml"),
    ],
)
def test_our_secrets_are_checked_against_our_own_volumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request_: dict[str, Any], project: str, file: str
) -> None:
    """The name of another project says nothing of our stores: a `postgres_data` there is none of ours."""
    home = Home(tmp_path / "home")
    home.make()
    asked: list[tuple[str, str]] = []

    def ensure(home: Home, environment: Any, path: Path, name: str, **_: Any) -> tuple[str, ...]:
        asked.append((name, path.name))
        return ()

    monkeypatch.setattr(up, "ensure_secrets", ensure)
    run = up.Up(Session(home, home.settings({})), DeployRequest(**request_))
    run._secrets()
    assert asked == [(project, file)]


def test_another_environment_has_another_stamp(tmp_path: Path) -> None:
    """After an upgrade the server and the worker are started anew: they run on packages that are gone."""
    stamp = tmp_path / ".ops-stamp"
    assert environment_stamp(stamp) == ""
    stamp.write_text("runtime 1 /clone\n")
    before = environment_stamp(stamp)
    assert before
    stamp.write_text("runtime 2 /clone\n")
    assert environment_stamp(stamp) != before
