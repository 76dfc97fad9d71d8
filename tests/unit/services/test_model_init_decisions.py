"""What a pull's last line means, what is printed of it, and what the catalogue accepts."""

import pytest
from model_init.catalogue import CatalogueError, Entry, find, full_name, matches, parse
from model_init.settings import Settings, SettingsError
from model_init.verdicts import Outcome, Progress, judge


@pytest.mark.parametrize(
    ("last", "outcome"),
    [
        ({"status": "success"}, Outcome.DONE),
        ({"status": "writing manifest"}, Outcome.AGAIN),
        ({}, Outcome.AGAIN),
        ({"error": "pull model manifest: file does not exist"}, Outcome.FAILED),
        ({"error": 'Get "https://x": dial tcp: lookup x on 127.0.0.11:53: no such host'}, Outcome.UNREACHABLE),
        ({"error": "dial tcp 10.0.0.1:443: connect: connection refused"}, Outcome.UNREACHABLE),
        ({"error": "tls: failed to verify certificate: x509: unknown authority"}, Outcome.UNREACHABLE),
        ({"error": "pull model manifest: 503: "}, Outcome.UNREACHABLE),
        ({"error": "max retries exceeded"}, Outcome.UNREACHABLE),
        ({"error": "no answer from the library: silence for 20 s"}, Outcome.UNREACHABLE),
        ({"error": "digest mismatch, file must be downloaded again"}, Outcome.AGAIN),
        ({"error": "write /models/blobs/x: no space left on device"}, Outcome.FAILED),
        ({"error": "pull model manifest: 429: too many requests"}, Outcome.FAILED),
        ({"error": "something new"}, Outcome.FAILED),
    ],
)
def test_only_a_library_that_is_away_opens_the_way_to_the_fallback(last: dict[str, str], outcome: Outcome) -> None:
    """A model that does not exist, a full disk and the unknown are failures, not reasons for a stand-in."""
    assert judge(last)[0] is outcome


def test_progress_prints_each_status_once_and_every_tenth() -> None:
    """Hundreds of lines become a dozen; going down, when a part starts over, is shown."""
    progress = Progress()
    updates = [
        {"status": "pulling a", "total": 1000, "completed": done} for done in (0, 5, 99, 100, 550, 20, 1000)
    ]
    lines = [progress.line(update) for update in updates]
    assert [bool(line) for line in lines] == [True, False, False, True, True, True, True]
    assert lines[4] == "pulling a: 0.0 of 0.0 MB (55 %)"
    assert progress.line({"status": "success"}) == "success"
    assert progress.line({"status": "success"}) is None


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("tinyllama", "tinyllama:latest"),
        ("tinyllama:1.1b", "tinyllama:1.1b"),
        ("host:5000/a/b", "host:5000/a/b:latest"),
        ("host:5000/a/b:1", "host:5000/a/b:1"),
    ],
)
def test_full_name(name: str, full: str) -> None:
    """A port is not a tag."""
    assert full_name(name) == full


def test_catalogue_digest_decides_when_it_is_known() -> None:
    """Null accepts any digest, a recorded one only itself, with or without its algorithm."""
    raw = {
        "models": [{"name": "a", "digest": None}, {"name": "b:1", "digest": "sha256:12", "demonstration": True}]
    }
    entries = parse(raw)
    assert entries[1] == Entry("b:1", "b:1", "12", True)
    assert matches(find(entries, "a:latest"), "anything")
    assert matches(find(entries, "b:1"), "12")
    assert not matches(find(entries, "b:1"), "13")
    assert matches(find(entries, "unlisted"), "13")


@pytest.mark.parametrize("raw", [None, {}, {"models": None}, {"models": ["a"]}, {"models": [{}]}])
def test_malformed_catalogue(raw: object) -> None:
    """A catalogue that cannot be understood is an error, not an empty one."""
    with pytest.raises(CatalogueError):
        parse(raw)


def test_settings_name_every_problem() -> None:
    """All at once."""
    with pytest.raises(SettingsError, match="OLLAMA_URL is not set; MODEL is not set; LIBRARY_WITHIN_SECONDS"):
        Settings.from_env({"LIBRARY_WITHIN_SECONDS": "-1"})
