"""Reports as Markdown tables; no text of a model or a user can become markup."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

MARKS = {"up": "🟢 up", "down": "🔴 down"}
STATES = {"queued": "⏳ queued", "running": "⚙️ running", "finished": "✅ finished", "failed": "❌ failed"}
LONGEST = 160
_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:@&])")


def plain(text: Any, longest: int = LONGEST) -> str:
    """Return a text as one short line in which Markdown finds nothing to interpret."""
    line = " ".join(str(text).split())
    if len(line) > longest:
        line = line[: longest - 1] + "…"
    return _MARKUP.sub(r"\\\1", line)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; cells must be plain already."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def health_table(report: Mapping[str, Any]) -> str:
    """Return one row per service that the backend needs, then per agent."""
    rows = [
        [
            plain(name),
            MARKS.get(entry["status"], plain(entry["status"])),
            f"{entry['latency_ms']:.0f} ms",
            plain(entry["detail"]),
        ]
        for name, entry in {**report["services"], **report.get("agents", {})}.items()
    ]
    return table(["Service", "State", "Round trip", "Found"], rows)


def task_table(tasks: Sequence[Mapping[str, Any]]) -> str:
    """Return one row per task, with the demonstration model named as such."""
    rows = [
        [
            plain(task["id"][:8]),
            STATES.get(task["state"], plain(task["state"])),
            plain(task["prompt"], 80),
            plain(task["result"] or task["error"] or ""),
            plain(task["model"] or "") + (" (demonstration)" if task["demonstration"] else ""),
            str(task["attempts"]),
        ]
        for task in tasks
    ]
    return table(["Task", "State", "Prompt", "Result", "Model", "Attempts"], rows)


def model_notice(report: Mapping[str, Any]) -> tuple[str, bool]:
    """Return one sentence about the model in use, and whether it deserves a warning."""
    model = report.get("model") or {}
    if not model.get("name"):
        return f"No model answers: {plain(model.get('detail') or 'the model server is down')}", True
    if model["demonstration"]:
        name = plain(model["name"])
        return f"DEMONSTRATION MODEL: {name} shows that the stack works and knows nothing.", True
    return f"Model: {plain(model['name'])}", False
