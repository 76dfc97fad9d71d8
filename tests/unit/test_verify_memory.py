"""What a verification leaves behind for people and for the next one: table, history, verdict, alert."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from blocks.alert import AlertWebhook
from blocks.verdict_store import KEEP, VerdictStore
from compose.stack.errors import Failed
from compose.stack.report_verify import alert_of, as_dict, markdown, rows, run_record
from compose.stack.verdicts import Change, Finding, Level, Mark, Report, Standing, Verdict, merge

FINDINGS = [
    Finding("app", Level.ALIVE, Mark.PASSED, "HTTP", "200", 0.004),
    Finding("app", Level.READY, Mark.NOT_PROVEN, "none", "no route"),
    Finding("db", Level.ALIVE, Mark.PASSED, "SQL", "1", 0.002),
    Finding("db", Level.READY, Mark.PASSED, "SQL", "1", 0.003),
    Finding("redis", Level.ALIVE, Mark.FAILED, "PING", "gone"),
]


def report() -> Report:
    services = merge(Level.READY, FINDINGS, ["app", "db", "redis"])
    return Report("light", "sutazai", Level.READY, 0.0, services, ((Level.ALIVE, 0.02), (Level.READY, 0.01)))


def test_the_table_shows_failures_first_then_what_is_not_proven() -> None:
    table = rows(report())
    assert [(row["service"], row["verdict"]) for row in table] == [
        ("redis", "failed"),
        ("app", "not proven"),
        ("db", "passed"),
    ]
    assert table[0]["how"] == "gone"
    assert (table[1]["ready"], table[0]["ready"]) == ("○ not proven", "not asked")
    assert table[2]["ready"] == "✓ 3 ms"


def test_the_table_compares_with_the_usual_time_and_shows_the_last_marks() -> None:
    past = [
        {"services": {"db": {"mark": "passed", "ready": 10.0}}},
        {"services": {}},
        {"services": {"db": {"mark": "failed"}}},
        {"services": {"db": {"mark": "passed", "ready": 30.0}}},
    ]
    row = rows(report(), past)[2]
    assert (row["usual"], row["last"]) == ("20 ms", "✓·✗✓✓")


def test_the_history_keeps_times_of_what_passed_only() -> None:
    kept = run_record(report())
    assert kept["services"]["db"] == {"mark": "passed", "alive": 2.0, "ready": 3.0}
    assert kept["services"]["redis"] == {"mark": "failed"}


def test_programs_get_everything_as_json() -> None:
    said = json.loads(json.dumps(as_dict(report())))
    assert said["verdict"] == "failed"
    assert said["counts"] == {"passed": 1, "failed": 1, "not proven": 1}
    assert said["services"][2]["findings"][0]["detail"] == "gone"


def test_the_page_names_the_reasons() -> None:
    assert "- redis: gone" in markdown(report())


def test_the_store_gives_back_what_it_was_given(tmp_path: Path) -> None:
    store, standing = VerdictStore(tmp_path / "s"), Standing(Verdict.FAILED, Level.READY, 1.0, 2.0, ("x",))
    assert (store.standing(), store.pending(), store.history(), store.down()) == (None, [], [], None)
    with store.locked():
        store.keep(standing, [{"text": "a"}])
    assert (store.standing(), store.pending()) == (standing, [{"text": "a"}])


def test_the_store_forgets_old_runs_and_survives_damage(tmp_path: Path) -> None:
    store = VerdictStore(tmp_path)
    (tmp_path / "verifications.jsonl").write_text("".join(f'{{"n": {number}}}\n' for number in range(KEEP + 4)))
    store.remember({"n": KEEP + 4})
    assert [store.history()[0]["n"], len(store.history())] == [5, KEEP]
    (tmp_path / "verifications.jsonl").write_text('{"n": 1}\n{"n"')
    (tmp_path / "verdict.json").write_text("{")
    assert (store.history(), store.standing()) == ([{"n": 1}], None)


def test_down_is_remembered_until_it_is_cleared(tmp_path: Path) -> None:
    store = VerdictStore(tmp_path)
    store.mark_down("./ops down")
    assert (store.down() or {})["by"] == "./ops down"
    store.clear_down()
    assert store.down() is None


@pytest.fixture
def hook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A webhook on this machine: its address, and what it was sent; a path of /refused is."""
    taken: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(500 if self.path.startswith("/refused") else 200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", taken
    server.shutdown()
    server.server_close()
    thread.join(5)


def test_an_alert_says_what_changed(hook: tuple[str, list[dict[str, Any]]]) -> None:
    address, taken = hook
    change = Change("light", Verdict.PASSED, Verdict.FAILED, Level.READY, 0.0, ("redis: gone",), 60.0)
    AlertWebhook(SecretStr(f"{address}/secret-path")).send(alert_of(change))
    assert taken[0]["text"] == "🔴 light failed its verification at level ready: redis: gone"
    assert (taken[0]["verdict"], taken[0]["reasons"]) == ("failed", ["redis: gone"])


@pytest.mark.parametrize("path", ["/refused?secret", ""])
def test_an_alert_that_is_not_taken_is_an_error_without_the_url(
    hook: tuple[str, list[dict[str, Any]]], path: str
) -> None:
    address = f"{hook[0]}{path}" if path else "http://127.0.0.1:1/secret-path"
    webhook = AlertWebhook(SecretStr(address), within=2)
    with pytest.raises(Failed) as caught:
        webhook.send({"text": "x"})
    assert "127.0.0.1: the alert was not taken" in str(caught.value)
    assert "secret" not in str(caught.value) + repr(webhook)


def test_the_webhook_comes_from_the_first_settings_that_name_one() -> None:
    assert AlertWebhook.from_settings({}, {"HEALTH_ALERT_WEBHOOK": ""}) is None
    found = AlertWebhook.from_settings({}, {"HEALTH_ALERT_WEBHOOK": "http://x"})
    assert found is not None
    assert found.url.get_secret_value() == "http://x"
