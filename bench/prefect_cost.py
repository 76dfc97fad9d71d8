"""What Prefect costs: per task run, in memory, at the start."""

from __future__ import annotations

import json

from bench.place import Place
from bench.tally import Row, Tally

NODES = 100
WALK = f"""
import json, time
from prefect import flow
from flows.recording import PrefectRunner
from flows.walker import Node, ThreadRunner, walk

def nodes():
    return [node(i) for i in range({NODES})]

def node(i):
    return Node(f"n{{i}}", "n", lambda: "", (f"n{{i - 10}}",) if i >= 10 else (), title=f"node {{i}}", tags=("t",))

def timed(runner):
    began, spent = time.monotonic(), time.process_time()
    walk(nodes(), runner)
    return [(time.monotonic() - began) / {NODES}, (time.process_time() - spent) / {NODES}]

@flow
def many():
    return {{"prefect": timed(PrefectRunner()), "threads": timed(ThreadRunner())}}

print(json.dumps(many()))
"""

ROWS = (
    Row("one step as a Prefect task run, against a thread: time", "task run", "step by thread", "", "ms"),
    Row("one task run: our own processor time", "task run, cpu", "", "", "ms"),
    Row("one task run: the server's processor time", "task run, server cpu", "", "", "ms"),
    Row("import of Prefect, our own modules included", "import", "", ""),
    Row("Prefect server: start to answering, new database", "server start, new", "", ""),
    Row("Prefect server: start to answering", "server start", "", ""),
    Row("Prefect worker: start to known", "worker start", "", ""),
    Row("memory of the server", "server memory", "", "", "MB"),
    Row("memory of the worker", "worker memory", "", "", "MB"),
)


def measure(place: Place, tally: Tally) -> None:
    """A hundred trivial steps, through Prefect and through threads."""
    before = place.server_cpu()
    found = json.loads(place.python(WALK).require().out)
    spent = place.server_cpu(settled=True) - before
    tally.add("task run", found["prefect"][0])
    tally.add("step by thread", found["threads"][0])
    tally.add("task run, cpu", found["prefect"][1])
    tally.add("task run, server cpu", spent / NODES)
    tally.add("import", place.python("import flows.deploy").require().seconds)
