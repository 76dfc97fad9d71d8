"""What is decided: create, recreate with reasons, start, leave alone."""

from __future__ import annotations

from compose.stack.observed import Container, Observed
from compose.stack.plan import Action, Evidence, Plan, decide, difference, needs_compose_start, read_dry_run
from compose.stack.service import Stack, parse_stack
from compose.stack.walkplan import Edges, edges_of, predicted_seconds

STARTED = "2026-01-01T00:00:00Z"


def stack(**services: dict[str, object]) -> Stack:
    return parse_stack({"name": "p", "services": services})


def container(service: str, **facts: object) -> Container:
    base = {"state": "running", "image_id": "sha256:1", "config_hash": "h", "started_at": STARTED}
    return Container(id=f"id-{service}", name=f"p-{service}-1", service=service, **{**base, **facts})  # type: ignore[arg-type]


def plan(found: Stack, *containers: Container, **evidence: object) -> Plan:
    base = {"hashes": dict.fromkeys(found.services, "h"), "images": dict.fromkeys(found.services, "sha256:1")}
    return decide(found, Observed(containers), Evidence(**{**base, **evidence}))  # type: ignore[arg-type]


def test_nothing_to_do_is_an_answer() -> None:
    """A service that runs with the same configuration and image is left alone, and the plan says why."""
    made = plan(stack(a={"image": "x"}), container("a"))
    assert made.nothing_to_do
    assert made.step("a").reasons == ("same configuration and image, running",)


def test_a_missing_container_is_created() -> None:
    """No container yet: create."""
    assert plan(stack(a={"image": "x"})).step("a").action is Action.CREATE


def test_another_configuration_recreates_with_the_keys_that_differ() -> None:
    """The reason names the keys, from the last release."""
    made = plan(
        stack(a={"image": "x"}),
        container("a", config_hash="old"),
        previous={"a": {"environment": {"A": "1", "B": "2"}, "image": "x"}},
        wanted={"a": {"environment": {"A": "9", "B": "2"}, "image": "x"}},
    )
    assert (made.step("a").action, made.step("a").reasons) == (Action.RECREATE, ("environment.A changed",))


def test_another_image_under_the_same_tag_recreates() -> None:
    """A tag that moved is seen by the id behind it."""
    made = plan(stack(a={"image": "x"}), container("a", image_id="sha256:0"))
    assert made.step("a").reasons == ("x is another image now",)


def test_the_installed_compose_decides_what_is_recreated() -> None:
    """What its dry run recreates is recreated, by force where the configuration is the same; else nothing is."""
    found = stack(a={"image": "x"})
    forced = plan(found, container("a"), dry_run={"a": "recreate"}).step("a")
    assert (forced.action, forced.force) == (Action.RECREATE, True)
    assert forced.reasons == ("a service that it depends on is recreated",)
    assert plan(found, container("a", config_hash="?"), dry_run={"a": "unchanged"}).nothing_to_do


def test_an_image_that_is_not_here_is_named() -> None:
    """The plan lists what has to be got."""
    assert plan(stack(a={"image": "x"}), images={"a": None}).images == {"a": "x"}


def test_a_changed_mounted_file_restarts() -> None:
    """Compose would not see it; we say which file."""
    step = plan(stack(a={"image": "x"}), container("a"), changed_files={"a": ("/etc/x",)}).step("a")
    assert (step.action, step.reasons) == (Action.RESTART, ("mounted file changed: /etc/x",))
    step = plan(stack(a={"image": "x"}), container("a"), changed_files={"a": ("configs.x",)}).step("a")
    assert (step.action, step.force) == (Action.RECREATE, True), "Compose injects only into a new container"


def test_stopped_services_start_and_finished_one_shots_stay_done() -> None:
    """An exit code of 0 under the same configuration is done; anything else is started again."""
    found = stack(
        job={"image": "x"},
        again={"image": "x", "x-ops": {"oneshot": "always"}},
        app={"image": "x", "depends_on": {"job": {"condition": "service_completed_successfully"}}},
        down={"image": "x", "restart": "always"},
        plain={"image": "x"},
    )
    done = {"state": "exited", "exit_code": 0}
    made = plan(
        found, container("job", **done), container("again", **done), container("app", state="exited", exit_code=1),
        container("down", **done), container("plain", **done),
    )  # fmt: skip
    actions = {step.service: step.action for step in made.steps}
    wanted = (Action.DONE, Action.RUN_AGAIN, Action.START, Action.START, Action.DONE)
    assert actions == dict(zip(("job", "again", "app", "down", "plain"), wanted, strict=True))


def test_a_failed_one_shot_runs_again_and_one_never_started_starts() -> None:
    """Only success counts as done."""
    found = stack(job={"image": "x", "x-ops": {"oneshot": "once"}})
    failed = plan(found, container("job", state="exited", exit_code=3)).step("job")
    assert (failed.action, failed.reasons) == (Action.RUN_AGAIN, ("it failed before, with exit code 3",))
    fresh = plan(found, container("job", state="created", started_at="0001-01-01T00:00:00Z")).step("job")
    assert fresh.action is Action.START


def test_orphans_are_named() -> None:
    """Containers that the file does not know are listed, and nothing is done to them."""
    made = plan(stack(a={"image": "x"}), container("a"), container("gone"))
    assert made.orphans == ("p-gone-1",)
    assert made.nothing_to_do


def test_scaled_to_zero_is_left_alone() -> None:
    """Zero replicas need no image and no container."""
    made = plan(stack(a={"image": "x", "deploy": {"replicas": 0}}), images={"a": None})
    assert made.step("a").action is Action.NONE
    assert not made.images


def test_the_dry_run_is_read_by_container() -> None:
    """Containers are told apart by name; what is unknown is nobody's."""
    said = (
        " DRY-RUN MODE -  Container p-a-1  Running\n DRY-RUN MODE -  Container p-b-1  Recreate\n"
        " DRY-RUN MODE -  Container p-b-1  Recreated\n DRY-RUN MODE -  Container p-c-1  Creating\n"
        " DRY-RUN MODE -  Container id_p-b-1  Starting\n"
    )
    observed = Observed((container("a"), container("b")))
    assert read_dry_run(said, observed) == {"a": "unchanged", "b": "recreate"}


def test_difference_names_paths_two_levels_deep() -> None:
    """Keys that Compose does not recreate for are left out."""
    before = {"environment": {"A": "1"}, "x-ops": {"phase": 1}, "command": ["a"]}
    now = {"environment": {"A": "2"}, "x-ops": {}, "command": ["b"]}
    assert difference(before, now) == ("command", "environment.A")


def test_injected_files_need_composes_own_start() -> None:
    """Secrets from the environment and inline configs would be lost by the engine's start."""
    found = parse_stack(
        {
            "services": {"a": {"secrets": [{"source": "s"}]}, "b": {"configs": ["c"]}, "d": {"secrets": ["f"]}},
            "secrets": {"s": {"environment": "X"}, "f": {"file": "/x"}},
            "configs": {"c": {"content": "text"}},
        }
    )
    assert [needs_compose_start(found, found[name]) for name in "abd"] == [True, True, False]


def test_edges_follow_conditions() -> None:
    """Started waits for the start, healthy and completed for the proof, optional ones for the end only."""
    found = stack(
        a={}, b={}, c={},
        d={
            "depends_on": {
                "a": {"condition": "service_started"}, "b": {"condition": "service_healthy"},
                "c": {"condition": "service_healthy", "required": False},
            }
        },
    )  # fmt: skip
    every = frozenset("abcd")
    assert edges_of(found, "d", every, every) == Edges(("start:a", "ready:b"), ("ready:c",))
    assert edges_of(found, "d", frozenset("d"), frozenset("d")) == Edges()


def test_the_prediction_is_the_longest_chain() -> None:
    """Times add up along dependencies; a service never measured means no prediction."""
    found = stack(a={}, b={"depends_on": {"a": {}}}, c={})
    steps = plan(found).steps
    assert predicted_seconds(found, steps, {"a": 1.0, "b": 2.0, "c": 2.5}) == 3.0
    assert predicted_seconds(found, steps, {"a": 1.0}) is None


def test_scaled_to_zero_takes_its_containers_away() -> None:
    """As plain `up` would; without containers there is nothing to do, and no image is needed for either."""
    zero = stack(a={"image": "x", "deploy": {"replicas": 0}})
    there = plan(zero, container("a"), images={"a": None})
    assert (there.step("a").action, dict(there.images)) == (Action.REMOVE, {})
    assert plan(zero).step("a").action is Action.NONE


def sharing(**host: object) -> Stack:
    return stack(
        vpn={"image": "x", **host},
        client={"image": "x", "network_mode": "service:vpn"},
        tracer={"image": "x", "pid": "service:client"},
        other={"image": "x", "depends_on": {"vpn": {}}},
    )


def actions(made: Plan) -> dict[str, str]:
    return {step.service: str(step.action) for step in made.steps}


def test_who_lives_in_the_namespaces_of_a_restarted_service_restarts_with_it() -> None:
    """A restart makes new namespaces; whoever stayed in the old ones would talk to nobody."""
    there = [container(name) for name in ("vpn", "client", "tracer", "other")]
    made = plan(sharing(), *there, changed_files={"vpn": ("/etc/vpn.conf",)})
    assert actions(made) == {"vpn": "restart", "client": "restart", "tracer": "restart", "other": "unchanged"}
    assert made.step("client").reasons == ("it lives in the namespaces of vpn, which starts anew",)


def test_who_lives_in_the_namespaces_of_a_stopped_service_restarts_when_that_starts() -> None:
    """Its end left them in namespaces of the dead; one that does not run has its own reason to start."""
    ended = {"state": "exited", "exit_code": 137}
    made = plan(sharing(), container("vpn", **ended), container("client"), container("tracer", **ended))
    assert {name: actions(made)[name] for name in ("vpn", "client", "tracer")} == {
        "vpn": "start",
        "client": "restart",
        "tracer": "start",
    }


def test_only_a_service_takes_those_along_that_live_in_its_namespaces() -> None:
    """They follow a replaced container though nobody named them; one that is not there is not made."""
    found, dry_run = sharing(), {"vpn": "recreate", "client": "recreate"}
    base = {"hashes": dict.fromkeys(found.services, "h"), "images": dict.fromkeys(found.services, "sha256:1")}
    evidence = Evidence(**base, dry_run=dry_run)  # type: ignore[arg-type]
    there = Observed((container("vpn"), container("client"), container("other")))
    made = decide(found, there, evidence, ["vpn"])
    assert actions(made) == {"vpn": "recreate", "client": "recreate"}
    assert made.step("client").reasons == ("it lives in the namespaces of vpn, which gets a new container",)
    unchanged = decide(found, there, Evidence(**base, dry_run={}), ["vpn"])  # type: ignore[arg-type]
    assert actions(unchanged) == {"vpn": "unchanged"}


def test_a_forced_replacement_takes_along_what_the_installed_compose_would_leave() -> None:
    """The content of a config changed: Compose's dry run sees nothing, and its container goes all the same."""
    there = [container(name) for name in ("vpn", "client", "tracer", "other")]
    dry_run = dict.fromkeys(("vpn", "client", "tracer", "other"), "unchanged")
    made = plan(sharing(), *there, dry_run=dry_run, changed_files={"vpn": ("configs.c",)})
    assert actions(made) == {"vpn": "recreate", "client": "recreate", "tracer": "recreate", "other": "unchanged"}
