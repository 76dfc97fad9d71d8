"""What Prefect's server, worker and clients are told, and why; values only."""

from __future__ import annotations

from collections.abc import Mapping

POOL = "ops"
"""The process work pool that our worker serves."""

QUIET: Mapping[str, str] = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_V2_ENABLED": "false",  # the second UI asks an outside host
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",  # the pictures of sixty block types come from other hosts
    "PREFECT_CLI_PROMPT": "false",
}
"""Nothing leaves this machine."""

PACE: Mapping[str, str] = {
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "50",  # 46 ms of server time per task run to 12
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "50",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",  # below 1 is cut to 0: a busy loop
    "PREFECT_WORKER_QUERY_SECONDS": "1",
    "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "2",
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
}
"""How fast it works, and how soon a dead run is noticed."""

UPKEEP: Mapping[str, str] = {
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(30 * 86_400),  # seconds
    "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": "P14D",
    "PREFECT_DEPLOYMENTS_CLEAR_SCHEDULES_ON_EMPTY": "true",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "ops",
    "PREFECT_LOGGING_LOGGERS_PREFECT_TASK_RUNS_LEVEL": "WARNING",  # not that each of fifty steps has ended
}
"""History is kept for a month; a schedule taken out of prefect.yaml goes; our own log records reach the UI."""


def variables(home: str, port: str, auth: str) -> dict[str, str]:
    """Every variable of the server, the worker and whoever talks to them.

    Args:
        home: PREFECT_HOME.
        port: TCP port of the server on 127.0.0.1.
        auth: `user:password`; in variables only, never in argv.
    """
    return {
        **QUIET,
        **PACE,
        **UPKEEP,
        "PREFECT_HOME": home,
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_UI_URL": f"http://127.0.0.1:{port}",
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": f"{home}/ui",  # blocks/prefect_ui.py says why
        "PREFECT_SERVER_UI_API_URL": "/api",  # a tunnel may give the UI another port
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": port,
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{home}/prefect.db",
        "PREFECT_SERVER_API_AUTH_STRING": auth,
        "PREFECT_API_AUTH_STRING": auth,
    }
