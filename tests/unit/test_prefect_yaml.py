"""prefect.yaml: strictly read, every entrypoint there, every parameter accepted by its flow."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prefect import Flow
from prefect.utilities.schema_tools.validation import validate

from compose.stack.errors import Refused
from compose.stack.prefect_settings import POOL
from compose.stack.prefect_yaml import parse_prefect_yaml
from deployments.registration.apply import choices
from deployments.registration.runbooks import OWN_TAG, form_of, load_flow, schedule_of

TEXT = (Path(__file__).parents[2] / "prefect.yaml").read_text(encoding="utf-8")
FILE = parse_prefect_yaml(TEXT)
CHOICES = choices(("light", "shop"))
BY_NAME = {f"{one.function.replace('_', '-')}/{one.name}": one for one in FILE.deployments}


def changed(old: str, new: str) -> str:
    """The file with one thing in it changed."""
    assert old in TEXT
    return TEXT.replace(old, new, 1)


def test_the_deployments_that_people_are_promised():
    """Deploy, verify and rollback of the light stack are there, and each runs in our pool under our tag."""
    assert {"deploy/light", "rollback/light", "verify/light-ready", "verify/light-working"} <= BY_NAME.keys()
    assert {deployment.work_pool.name for deployment in FILE.deployments} == {POOL}
    assert all(OWN_TAG in deployment.tags for deployment in FILE.deployments)


def test_schedules():
    """Ready every five minutes, working hourly, a backup a night and what follows it; nothing else by itself."""
    scheduled = {name: [schedule_of(s) for s in d.schedules] for name, d in BY_NAME.items() if d.schedules}
    backups = {"backup/light", "verify-backup/light", "expire-backups/light", "check-backups/light"}
    assert scheduled.keys() == {"verify/light-ready", "verify/light-working"} | backups
    assert BY_NAME["expire-backups/light"].parameters["apply"] is False, "a schedule only shows what would go"
    assert scheduled["verify/light-ready"][0].interval.total_seconds() == 300
    assert re.fullmatch(r"\d+ \* \* \* \*", scheduled["verify/light-working"][0].cron)


@pytest.mark.parametrize("name", BY_NAME)
def test_entrypoint_is_a_flow(name):
    """Every entrypoint imports, and is a flow of the deployment's own name."""
    flow = load_flow(BY_NAME[name])
    assert isinstance(flow, Flow)
    assert flow.name == name.partition("/")[0]


@pytest.mark.parametrize("name", BY_NAME)
def test_parameters_fit_the_flow(name):
    """What a deployment and its schedules give is what the flow's form accepts."""
    deployment = BY_NAME[name]
    schema = form_of(deployment, CHOICES)
    for given in ({}, *(schedule.parameters for schedule in deployment.schedules)):
        validate({**deployment.parameters, **given}, schema, raise_on_error=True, ignore_required=False)
        assert not (deployment.parameters | given).keys() - schema["properties"].keys()


@pytest.mark.parametrize("name", BY_NAME)
def test_form_explains_itself(name):
    """Every field has a title and a description, the stack a dropdown, every choice its values."""
    fields = form_of(BY_NAME[name], CHOICES)["properties"]
    assert all(field["title"] and field["description"] for field in fields.values())
    assert fields.get("stack", {"enum": ["light", "shop"]})["enum"] == ["light", "shop"]
    assert {"stack", "files"} & fields.keys()
    for choice in {"mode", "images", "on_failure", "level"} & fields.keys():
        assert len(fields[choice]["enum"]) > 1


def test_risks_are_chosen_from_those_that_can_be_taken():
    """The form offers the codes of findings that may be accepted, and only them."""
    offered = form_of(BY_NAME["deploy/light"], CHOICES)["properties"]["accept"]["items"]["enum"]
    assert "memory-limit" in offered
    assert not {"yaml-broken", "no-healthcheck"} & set(offered)


def test_a_stack_that_is_not_kept_is_refused_by_the_form():
    """The server itself refuses a name that is not in the dropdown."""
    schema = form_of(BY_NAME["deploy/light"], CHOICES)
    assert validate({"stack": "nobody"}, schema)


def test_no_path_of_a_machine():
    """Flows are found by module where the project is installed: nothing is pulled, no directory is named."""
    assert FILE.pull == []
    assert all("/" not in d.entrypoint and ":" not in d.entrypoint for d in FILE.deployments)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("    tags: [ops, deploy]", "    tag: [ops, deploy]", "tag: Extra"),
        ("    limit: 1\n", "    limits: 1\n", "limits"),
        ("collision_strategy: ENQUEUE", "collision_strategy: WAIT", "collision_strategy"),
        ("    collision_strategy: ENQUEUE\n", "", "collision_strategy: Field required"),
        ("        interval: 300", "        intervall: 300", "intervall"),
        ("        interval: 300", "        cron: 5 * * * *\n        interval: 300", "either interval or cron"),
        ("entrypoint: flows.deploy.deploy", "entrypoint: flows/deploy.py:deploy", "entrypoint"),
        ("pull: []", "pull: [{git: x}]", "pull"),
        ("  - name: any\n", "  - name: light\n", "declared more than once"),
        ("deployments:", "deployments: [", "not valid YAML"),
        ("    schedules: []\n", "", "schedules: Field required"),
    ],
)
def test_what_is_not_known_is_refused(old, new, said):
    """An unknown key, a wrong value, a forgotten strategy: refused, and named."""
    with pytest.raises(Refused) as refused:
        parse_prefect_yaml(changed(old, new))
    assert said in str(refused.value)
    assert "prefect.yaml" in str(refused.value)


def test_all_problems_at_once():
    """Two mistakes, one message."""
    text = TEXT.replace("interval: 300", "interval: -1").replace("limit: 1", "limit: 0")
    with pytest.raises(Refused) as refused:
        parse_prefect_yaml(text)
    assert "interval" in str(refused.value)
    assert "limit" in str(refused.value)


def test_form_of_a_parameter_that_the_flow_has_not():
    """A form that names something unknown is refused before anything is registered."""
    file = parse_prefect_yaml(changed("x-form: [stack, mode,", "x-form: [stack, mood,"))
    with pytest.raises(Refused, match="mood"):
        form_of(file.deployments[0], CHOICES)


def test_entrypoint_that_is_no_flow():
    """A function that is not a flow is refused by name."""
    file = parse_prefect_yaml(changed("flows.deploy.deploy", "flows.deploy.publish"))
    with pytest.raises(Refused, match=r"flows\.deploy\.publish is no flow"):
        load_flow(file.deployments[0])
