"""The Prefect UI as a person uses it: log in, deploy by a form, watch, read the reports."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select

from blocks.polling import poll
from tests.browser.chromium import Browser
from tests.browser.conftest import log_in
from tests.browser.connections import Watch, of_this_machine
from tests.prefect_lab import EDGES, PrefectLab, service_edges, until

pytestmark = [pytest.mark.browser, pytest.mark.engine]
LISTS = ["/dashboard", "/runs", "/flows", "/deployments", "/work-pools", "/artifacts", "/events"]
OTHERS = ["/blocks", "/blocks/catalog", "/variables", "/automations", "/automations/create", "/settings"]


@pytest.fixture(scope="module")
def watched(prefect_lab: PrefectLab):
    """Everything that the server and the worker talk to while these tests run."""
    keeper = prefect_lab.service.detached
    with Watch([keeper.running(name).pid for name in ("server", "worker")]) as watch:
        yield watch


def field(page: Browser, title: str) -> WebElement:
    """A field of the form by its title."""
    page.says("Parameters", title)
    return page.wait(
        lambda: next((f for f in page.all(".schema-form-property") if f.text.startswith(title)), None), title
    )


def dropdown(page: Browser, title: str) -> Select:
    """A field's choices."""
    return Select(field(page, title).find_element(By.TAG_NAME, "select"))


def choices(page: Browser, title: str) -> set[str]:
    """What a field offers."""
    return {option.get_attribute("value") for option in dropdown(page, title).options}


def open_form(page: Browser, lab: PrefectLab, deployment: str) -> None:
    """Go the way a person goes: deployment, Run, Custom run."""
    page.open(f"{lab.url}/deployments/deployment/{lab.deployment(deployment)['id']}")
    page.click("button", "Run")
    page.click("[role=menuitem], .p-overflow-menu-item", "Custom run")
    page.says("Parameters")


def submitted(page: Browser, lab: PrefectLab, deployment: str, **chosen: str) -> str:
    """Fill the form and send it, again when the browser lost it on the way; the run that it made."""
    before = {run["id"] for run in runs(lab, deployment)}
    for _ in range(4):
        open_form(page, lab, deployment)
        for title, value in chosen.items():
            dropdown(page, title).select_by_value(value)
        page.click("button", "Submit")
        if poll(lambda: len(runs(lab, deployment)) > len(before), 60):
            break
    (run,) = {run["id"] for run in runs(lab, deployment)} - before
    page.open(f"{lab.url}/runs/flow-run/{run}")
    return run


def runs(lab: PrefectLab, deployment: str) -> list[dict]:
    """All runs of a deployment."""
    return lab.api.call(
        "POST", "/flow_runs/filter", {"deployments": {"id": {"any_": [lab.deployment(deployment)["id"]]}}}
    )


def test_auth_string_is_asked_for(fresh: Browser, prefect_lab: PrefectLab):
    """A wrong one is refused, nothing is shown without one, the right one lets in."""
    log_in(fresh, prefect_lab, "ops:guess")
    assert "Deployments" not in fresh.says("Authentication failed")
    log_in(fresh, prefect_lab, prefect_lab.home.prefect_auth())
    fresh.says("Dashboard", "Deployments", "Settings")


def test_second_ui_is_not_offered(page: Browser, prefect_lab: PrefectLab):
    """It would ask an outside host: neither a link to it nor the thing itself is there."""
    page.open(f"{prefect_lab.url}/dashboard")
    assert "V2" not in page.says("Dashboard", "Settings")
    page.open(f"{prefect_lab.url}/v2/dashboard")
    assert "amplitude" not in page.driver.page_source
    assert "/assets/" in page.driver.page_source


def test_deploy_by_the_form(page: Browser, prefect_lab: PrefectLab, shop: str, watched: Watch):
    """The form offers stacks and policies, explains itself, and what it starts is seen to the end."""
    open_form(page, prefect_lab, "deploy/light")
    assert choices(page, "Stack") >= {"light", "shop"}
    assert choices(page, "Images") == {"auto", "registry", "offline"}
    assert choices(page, "Mode") == {"apply", "plan"}
    assert choices(page, "On failure") == {"stop", "rollback"}
    assert "./ops stack add" in field(page, "Stack").text
    assert "built here from packages" in field(page, "Images").text
    run = submitted(page, prefect_lab, "deploy/light", Stack="shop")
    page.wait(lambda: re.search("Running|Completed|Failed|Crashed", page.text()), "progress")
    prefect_lab.completes(run)
    page.says("deploy shop", "Completed", "ready after")
    assert page.one("canvas").size["height"] > 100
    drawn = partial(service_edges, prefect_lab.api, run, {"store", "queue", "api", "web"})
    until(lambda: drawn() == EDGES, 120, f"{drawn()}")  # task runs are recorded a moment later


def test_reports_are_read(page: Browser, prefect_lab: PrefectLab, shop: str, watched: Watch):
    """The deployment's page names each service with its proof, the verification's table each verdict."""
    run = prefect_lab.begin("verify/light-working", stack="shop", level="working")
    prefect_lab.completes(run)
    for key, words in (("deploy-shop", ("Critical path", "HTTP GET")), ("verify-shop", ("verdict", "last"))):
        page.open(f"{prefect_lab.url}/artifacts/key/{key}")
        page.click("a[href*='/artifacts/artifact/']")
        page.says("store", "queue", "api", "web", *words)


def test_backup_by_the_form(page: Browser, prefect_lab: PrefectLab, shop: str, watched: Watch, tmp_path: Path):
    """Its choices explain themselves; what was saved, and on which target, is a page of its own afterwards."""
    prefect_lab.home.add_to_env({"OPS_BACKUP_TARGETS": f"shelf={tmp_path}"})
    open_form(page, prefect_lab, "backup/light")
    assert choices(page, "Stack") >= {"light", "shop"}
    assert choices(page, "Verify") == {"none", "content"}
    assert "who stands still" in field(page, "Mode").text
    run = submitted(page, prefect_lab, "backup/light", Stack="shop", Verify="content")
    prefect_lab.completes(run)
    page.says("back up shop", "Completed")
    page.open(f"{prefect_lab.url}/artifacts/key/backup-shop")
    page.click("a[href*='/artifacts/artifact/']")
    page.says("configuration", "images", "shelf", "complete")
    assert list(tmp_path.glob("*/backups/*/manifest.json"))


def test_schedules_automations_and_blocks_are_seen(page: Browser, prefect_lab: PrefectLab, watched: Watch):
    """What was registered is where a person looks for it."""
    page.open(f"{prefect_lab.url}/deployments")
    page.says("backup", "light")  # the list has pages
    for name in ("verify/light-ready", "verify/light-working", "rollback/light", "check-backups/light"):
        page.open(f"{prefect_lab.url}/deployments/deployment/{prefect_lab.deployment(name)['id']}")
        page.says(*name.split("/"))
    page.open(f"{prefect_lab.url}/automations")
    page.says("ops: runs without a heartbeat have crashed", "ops: no verification has run")
    page.open(f"{prefect_lab.url}/blocks")
    page.says("engine", "Docker Host")


def test_one_host_only(page: Browser, prefect_lab: PrefectLab, watched: Watch):
    """The browser asks nobody but our server on any page; server and worker talk within this machine.

    The worker's runs also probe the stack's containers, at their addresses on this machine's bridges.
    """
    for path in (*LISTS, *OTHERS, "/concurrency-limits"):
        page.open(prefect_lab.url + path)
        page.wait(lambda: page.text().strip(), f"page {path}")
        page.settled()
    assert page.hosts() == {f"127.0.0.1:{prefect_lab.api.port}"}
    assert watched.looks > 10
    assert "127.0.0.1" in watched.seen
    assert [address for address in watched.seen if not of_this_machine(address)] == []


def test_policy_holds_where_prefect_would_ask_elsewhere(page: Browser, prefect_lab: PrefectLab):
    """On the page that shows pictures of another host, the browser itself refuses to fetch them."""
    page.open(f"{prefect_lab.url}/work-pools/create")
    page.says("Select the infrastructure")
    page.settled()
    assert page.hosts() == {f"127.0.0.1:{prefect_lab.api.port}"}


def test_telemetry_is_off(prefect_lab: PrefectLab):
    """As the server itself says."""
    settings = prefect_lab.api.call("GET", "/admin/settings")["server"]
    assert settings["analytics_enabled"] is False
    assert settings["ui"]["show_promotional_content"] is False
