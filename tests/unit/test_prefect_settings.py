"""What the Prefect server and its clients are told."""

from compose.stack.prefect_settings import PACE, variables


def test_auth_is_on_and_nothing_leaves_the_machine():
    """Both ends have the password; the address is this machine's; telemetry and promotion are off."""
    told = variables("/h/prefect", "4200", "ops:secret")
    assert told["PREFECT_SERVER_API_AUTH_STRING"] == told["PREFECT_API_AUTH_STRING"] == "ops:secret"
    assert told["PREFECT_SERVER_API_HOST"] == "127.0.0.1"
    assert told["PREFECT_API_URL"] == "http://127.0.0.1:4200/api"
    assert told["DO_NOT_TRACK"] == "1"
    assert told["PREFECT_SERVER_ANALYTICS_ENABLED"] == told["PREFECT_SERVER_UI_V2_ENABLED"] == "false"


def test_flush_interval_is_whole_seconds():
    """Prefect cuts it to an integer; 0 makes its recorder a busy loop (a sixth of a core, seen)."""
    assert int(PACE["PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL"]) >= 1
