"""What `./ops doctor` says of a machine."""

import socket

from blocks.home import Home
from compose.stack.doctor import capacity
from tasks.doctor import examine


def test_small_machines_are_warned_of():
    """Below the light stack's needs it says what is needed; at them it is content."""
    assert {finding.verdict for finding in capacity(2, 4_000_000_000, 20_000_000_000)} == {"ok"}
    small = capacity(1, 1_000_000_000, 1_000_000_000)
    assert {finding.verdict for finding in small} == {"warn"}
    assert all(finding.next for finding in small)


def test_a_taken_port_and_missing_secrets_are_found(tmp_path, monkeypatch):
    """Both with what to do; nothing is made or changed by looking."""
    for name in ("API_TOKEN", "SECRET_KEY", "POSTGRES_PASSWORD", "REDIS_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        monkeypatch.setenv("OPS_PREFECT_PORT", str(port))
        home = Home(tmp_path / "home")
        home.make()
        findings = {finding.what: finding for finding in examine(home, tmp_path)}
    assert findings[f"port {port}"].verdict == "bad"
    assert findings[f"port {port}"].next == "stop it, or set OPS_PREFECT_PORT"
    assert "API_TOKEN" in findings["secrets"].found
    assert not home.env_file.exists()
