"""Registration on a real server, and deployments as CI and people start them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.prefect_lab import CLONE, SHOP, PrefectLab, service_edges, until

pytestmark = pytest.mark.engine


@pytest.fixture
def other_clone(tmp_path: Path) -> Path:
    """A prefect.yaml that can be changed, with the code that it was registered with."""
    shutil.copy(CLONE / "prefect.yaml", tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def as_it_was(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test changed on the server is put back."""
    yield
    if "other_clone" in request.fixturenames:
        request.getfixturevalue("prefect_lab").register()


def everything(lab: PrefectLab) -> dict[str, list[str]]:
    """The ids of all that can be registered."""
    kinds = ("deployments", "automations", "block_documents", "work_pools")
    return {kind: sorted(found["id"] for found in lab.api.call("POST", f"/{kind}/filter", {})) for kind in kinds}


def schedules(lab: PrefectLab, deployment: str) -> dict[str, bool]:
    """A deployment's schedules and whether they are active."""
    return {found["slug"]: found["active"] for found in lab.deployment(deployment)["schedules"]}


def change(clone: Path, old: str, new: str) -> None:
    """Another prefect.yaml."""
    text = (clone / "prefect.yaml").read_text()
    assert old in text
    (clone / "prefect.yaml").write_text(text.replace(old, new, 1))


def test_registering_again_does_nothing(prefect_lab: PrefectLab):
    """Known to the server already: nothing is done. Not known to us any more: all is done, and nothing doubled."""
    prefect_lab.register()
    before = everything(prefect_lab)
    assert not prefect_lab.register()
    (prefect_lab.home.prefect / "registered.json").unlink()
    assert prefect_lab.register()
    assert everything(prefect_lab) == before


def test_what_a_person_deleted_comes_back(prefect_lab: PrefectLab):
    """An automation that is gone from the server is noticed and made again."""
    automations = prefect_lab.api.call("POST", "/automations/filter", {})
    prefect_lab.api.call("DELETE", f"/automations/{automations[0]['id']}")
    assert prefect_lab.register()
    again = prefect_lab.api.call("POST", "/automations/filter", {})
    assert {a["name"] for a in again} == {a["name"] for a in automations}


def test_schedule_that_is_taken_out_is_gone(prefect_lab: PrefectLab, other_clone: Path):
    """So is a deployment; a schedule that a person paused stays paused."""
    assert schedules(prefect_lab, "verify/light-ready") == {"every-five-minutes": False}
    text = (other_clone / "prefect.yaml").read_text()
    before, mine, after = text.partition("  - name: light-working\n")
    kept, _, rest = after.partition("    schedules:\n")
    gone, following, last = rest.partition("\n  - name: ")
    assert "hourly" in gone
    (other_clone / "prefect.yaml").write_text(f"{before}{mine}{kept}    schedules: []\n{following}{last}")
    change(other_clone, "  - name: any\n", "  - name: whatever\n")
    assert last
    assert prefect_lab.register(other_clone)
    assert schedules(prefect_lab, "verify/light-working") == {}
    assert schedules(prefect_lab, "verify/light-ready") == {"every-five-minutes": False}
    names = {found["name"] for found in prefect_lab.api.call("POST", "/deployments/filter", {})}
    assert "whatever" in names
    assert "any" not in names


def test_stack_that_is_added_is_in_the_forms(prefect_lab: PrefectLab):
    """`stack add` puts it into every dropdown, and the server refuses a name that is not there."""
    prefect_lab.keep("corner")
    for name in ("deploy/light", "verify/light-ready", "rollback/light"):
        stack = prefect_lab.deployment(name)["parameter_openapi_schema"]["properties"]["stack"]
        assert {"light", "corner"} <= set(stack["enum"])
    refused = prefect_lab.prefect("deployment", "run", "deploy/light", "--param", 'stack="nobody"')
    assert refused.returncode != 0
    assert "nobody" in refused.stdout + refused.stderr


def test_block_that_a_person_changed_stays(prefect_lab: PrefectLab):
    """The engine's address is his; only what is missing is made."""
    (block,) = prefect_lab.api.call("GET", "/block_types/slug/docker-host/block_documents")
    data = {**block["data"], "timeout": 61}
    body = {"data": data, "block_schema_id": block["block_schema_id"], "merge_existing_data": True}
    prefect_lab.api.call("PATCH", f"/block_documents/{block['id']}", body)
    (prefect_lab.home.prefect / "registered.json").unlink()
    assert prefect_lab.register()
    (again,) = prefect_lab.api.call("GET", "/block_types/slug/docker-host/block_documents")
    assert again["data"]["timeout"] == 61


def test_webhook_is_kept_as_a_secret(prefect_lab: PrefectLab):
    """Its URL is in the blocks only, and there encrypted: no record, no answer of the API and no file shows it."""
    assert prefect_lab.register(HEALTH_ALERT_WEBHOOK="http://127.0.0.1:9/canary-webhook")
    found = prefect_lab.api.call("POST", "/automations/filter", {})
    silence = next(automation for automation in found if "verification" in automation["name"])
    assert silence["actions"][0]["type"] == "call-webhook"
    shown = json.dumps(prefect_lab.api.call("POST", "/block_documents/filter", {}))
    kept = b"".join(path.read_bytes() for path in prefect_lab.home.prefect.glob("*") if path.is_file())
    assert "canary-webhook" not in shown
    assert b"canary-webhook" not in kept
    assert prefect_lab.register()
    assert {a["id"]: a["trigger"] for a in prefect_lab.api.call("POST", "/automations/filter", {})} == {
        a["id"]: a["trigger"] for a in found
    }


def test_ci_sees_how_it_ended(prefect_lab: PrefectLab):
    """`prefect deployment run --watch` ends with 0 only when everything is proven."""
    prefect_lab.keep("market")
    run = ("deployment", "run", "deploy/light", "--watch", "--param")
    good = prefect_lab.prefect(*run, 'stack="market"')
    assert good.returncode == 0, good.stdout + good.stderr
    prefect_lab.keep("broken", SHOP.replace('DELAY: "0"', 'DELAY: "no number"'))
    bad = prefect_lab.prefect(*run, 'stack="broken"')
    assert bad.returncode != 0
    newest = prefect_lab.api.call("POST", "/flow_runs/filter", {"sort": "EXPECTED_START_TIME_DESC", "limit": 20})
    failed = next(found for found in newest if found["name"] == "deploy broken")
    states = {"Failed", "UpstreamFailed"}
    until(
        lambda: states <= {t["state_name"] for t in prefect_lab.task_runs(failed["id"])},
        120,
        "the states",
    )
    said = failed["state"]["message"]
    assert said.startswith("3 of 4 services failed: queue, api, web")
    assert "Next: " in said
    assert "Traceback" not in said


def test_cancelled_in_the_ui_and_run_again(prefect_lab: PrefectLab):
    """Cancel leaves a stack that the next run finishes: nothing is doubled, what was right is not touched."""
    project = prefect_lab.keep("slow", SHOP.replace("${DELAY:-1}", "90"))
    run = prefect_lab.begin("deploy/light", stack="slow")
    until(lambda: "queue" in running(project), 120, prefect_lab.story(run))
    wanted = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
    prefect_lab.api.call("POST", f"/flow_runs/{run}/set_state", wanted)
    assert prefect_lab.ended(run) == "CANCELLED"
    before = running(project)
    assert "web" not in before
    prefect_lab.keep("slow")
    again = prefect_lab.begin("deploy/light", stack="slow")
    prefect_lab.completes(again)
    after = running(project)
    assert after.keys() == {"store", "queue", "api", "web"}
    assert after["queue"] == before["queue"]
    drawn = partial(service_edges, prefect_lab.api, again, after)
    until(lambda: ("api", "web") in drawn(), 120, f"{drawn()}")  # task runs are recorded a moment later


def running(project: str) -> dict[str, tuple[str, str]]:
    """The running containers of a project, each with its id and the moment of its start."""
    listed = ["docker", "ps", "-q", "--filter", f"label=com.docker.compose.project={project}"]
    ids = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split()
    if not ids:
        return {}
    facts = json.loads(
        subprocess.run(["docker", "inspect", *ids], capture_output=True, text=True, check=True).stdout
    )
    return {f["Config"]["Labels"]["com.docker.compose.service"]: (f["Id"], f["State"]["StartedAt"]) for f in facts}
