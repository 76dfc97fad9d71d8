"""The `ops` command line: every command, and the one place where an error becomes a message and a code."""

from __future__ import annotations

import logging
import sys
import traceback
from datetime import UTC, datetime

import typer

from compose.stack.errors import Exit, OpsError
from deployments import cli_backup, cli_deploy, cli_host, cli_stack, cli_stacks, console
from deployments.process import run_and_leave

app = typer.Typer(
    name="ops",
    help="Deploy, verify and look after a compose stack. Exit codes: 0 done, 1 failed, 2 refused or bad "
    "input, 3 locked, 4 failed and rolled back.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for command in (
    cli_host.up,
    cli_stack.status,
    cli_stack.logs,
    cli_stack.restart,
    cli_deploy.plan,
    cli_deploy.deploy,
    cli_deploy.verify,
    cli_deploy.releases,
    cli_deploy.rollback,
    cli_backup.backup,
    cli_backup.backups,
    cli_backup.verify_backup,
    cli_backup.pin,
    cli_backup.copy,
    cli_backup.expire,
    cli_backup.rekey,
    cli_backup.key,
    cli_backup.watchdog,
    cli_stack.down,
    cli_stack.destroy,
    cli_host.doctor,
    cli_host.version,
):
    app.command()(command)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(cli_host.test)
app.add_typer(cli_stacks.stacks, name="stack")


def main() -> None:
    """Run one command; end with its exit code."""
    console.show_logs(to_stderr="--json" in sys.argv)
    try:
        app(prog_name="./ops")
    except OpsError as error:
        console.err.print(console.Text(str(error), style=console.BAD))
        sys.exit(error.code)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 - the last resort: named on screen, kept whole in a log
        console.err.print(console.Text(_accident(error), style=console.BAD))
        sys.exit(Exit.FAILED)


def _accident(error: Exception) -> str:
    """Keep the traceback in a log; a line that says so."""
    from blocks.home import Home

    said = f"unexpected: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    path = Home.find().logs / "accidents.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with path.open("a", encoding="utf-8") as log:
            log.write(f"\n{datetime.now(UTC).isoformat()} ops {' '.join(sys.argv[1:])}\n")
            log.write("".join(traceback.format_exception(error)))
    except OSError:
        logging.getLogger("ops").debug("the log of accidents cannot be written", exc_info=True)
        return said
    return f"{said} Next: less {path}"


if __name__ == "__main__":
    run_and_leave(main)
