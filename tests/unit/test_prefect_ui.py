"""The UI's files: the second UI is left out, the first one is kept to its own host."""

from __future__ import annotations

import pytest

from blocks.prefect_ui import keep_to_this_host, leave_out_second


def test_second_ui_cannot_be_put_in_place(tmp_path):
    """Making its directory fails, whatever stood there before, and it looks as if nothing were there."""
    (tmp_path / "ui" / "v2").mkdir(parents=True)
    for _ in range(2):
        leave_out_second(tmp_path / "ui")
    assert not (tmp_path / "ui" / "v2").exists()
    with pytest.raises(FileExistsError):
        (tmp_path / "ui" / "v2").mkdir()


def test_page_forbids_other_hosts_once(tmp_path):
    """The policy is there exactly once, whatever number of times the server was started."""
    page = tmp_path / "v1" / "index.html"
    page.parent.mkdir()
    page.write_text("<html><head><title>x</title></head></html>")
    for _ in range(2):
        keep_to_this_host(tmp_path)
    assert page.read_text().count("Content-Security-Policy") == 1
    assert "<head><meta http-equiv" in page.read_text()
    assert "http" not in page.read_text().partition("content=")[2].partition(">")[0]
