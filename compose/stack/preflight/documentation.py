"""Print docs/preflight.md."""

from __future__ import annotations

from compose.stack.preflight.codes import CODES, Code, Severity


def documentation() -> str:
    """docs/preflight.md, from the table."""
    lines = [
        "# Preflight",
        "",
        "Before anything is touched, and again when the images are here, the stack is checked against the list "
        "below. All problems are told at once, by service and key, each with what to do. An error refuses; a "
        "warning is shown; an info is for the record. `--accept CODE` or `--accept CODE:SERVICE` takes an error "
        "as a risk and records it in the release. *Own* is the severity in our own stacks (`x-ops: {own: true}`), "
        "where it differs.",
        "",
        "This page is made from the code: `python -m compose.stack.preflight.documentation > docs/preflight.md`.",
    ]
    for topic in dict.fromkeys(code.topic for code in CODES.values()):
        lines += ["", f"## {topic}", ""]
        lines += ["| code | severity | own | means | do | can be accepted |", "|" + "---|" * 6]
        for name, code in CODES.items():
            if code.topic == topic:
                takes = _takes(code)
                own = code.own.value if code.own else ""
                lines.append(f"| `{name}` | {code.severity} | {own} | {code.title} | {code.next} | {takes} |")
    return "\n".join(lines) + "\n"


def _takes(code: Code) -> str:
    if Severity.ERROR not in (code.severity, code.own):
        return ""
    return "yes" if code.acceptable else "no"


if __name__ == "__main__":
    print(documentation(), end="")
