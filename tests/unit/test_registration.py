"""What decides whether something has to be registered, and the automations themselves."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

from blocks.home import Home
from deployments.registration.automations import PREFIX, silence, wanted, zombies
from deployments.registration.record import Registered, state_of


class Server:
    """Answers for the paths that it has."""

    def __init__(self, *paths: str) -> None:
        self.paths = paths

    def call(self, method: str, path: str) -> object:
        """One request."""
        if path not in self.paths:
            raise ValueError(f"{method} {path} answered 404")
        return {}


def test_state_follows_code_file_and_facts(tmp_path):
    """Another prefect.yaml, another flow, another stack: another state."""
    (tmp_path / "flows").mkdir()
    (tmp_path / "prefect.yaml").write_text("name: x")
    states = [state_of(tmp_path, {"stacks": ["light"]})]
    states.append(state_of(tmp_path, {"stacks": ["light", "shop"]}))
    (tmp_path / "flows" / "new.py").write_text("")
    states.append(state_of(tmp_path, {"stacks": ["light"]}))
    (tmp_path / "prefect.yaml").write_text("name: y")
    states.append(state_of(tmp_path, {"stacks": ["light"]}))
    assert len(set(states)) == len(states)
    assert state_of(tmp_path, {"stacks": ["light"]}) == states[-1]


def test_record_holds_only_while_everything_is_there(tmp_path):
    """The same state and every object: nothing to do; one object gone, or another state: again."""
    home = Home(tmp_path)
    record = Registered("s", ("/a", "/b"))
    record.write(home)
    assert Registered.read(home) == record
    assert record.holds("s", Server("/a", "/b"))
    assert not record.holds("s", Server("/a"))
    assert not record.holds("t", Server("/a", "/b"))


def test_no_or_broken_record_holds_nothing(tmp_path):
    """What cannot be read is registered again."""
    home = Home(tmp_path)
    assert not Registered.read(home).holds("", Server())
    (tmp_path / "prefect").mkdir()
    (tmp_path / "prefect" / "registered.json").write_text("{")
    assert not Registered.read(home).holds("", Server())


def test_zombies_are_called_crashed():
    """90 s without a heartbeat, counted per run, and only for runs that had one."""
    automation = zombies()
    assert automation.trigger.within == timedelta(seconds=90)
    assert automation.trigger.for_each == {"prefect.resource.id"}
    assert automation.trigger.after == {"prefect.flow-run.heartbeat"}
    assert automation.actions[0].state.value == "CRASHED"


def test_silence_is_told_once():
    """15 minutes after the last verification; by webhook where there is one."""
    flow, webhook = uuid4(), uuid4()
    automation = silence(flow, webhook)
    assert automation.trigger.within == timedelta(minutes=15)
    assert automation.trigger.after == automation.trigger.expect
    assert automation.trigger.for_each == {"related:flow:prefect.resource.id"}
    assert automation.actions[0].block_document_id == webhook
    assert silence(flow, None).actions[0].type == "do-nothing"


def test_our_automations_are_told_from_a_persons():
    """Every name begins alike, so that a person's own are never touched."""
    assert all(automation.name.startswith(PREFIX) for automation in wanted(uuid4(), None))
