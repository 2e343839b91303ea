"""Several processes on one study in a real PostgreSQL server, and the server stopped in mid-study."""

from __future__ import annotations

from typing import TYPE_CHECKING

import postgresql
import pytest
from tuning import finished, read, rows, stages, start, tune, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SPACE = ("--search", "batch=16..128", "--study", "shared")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[postgresql.Server]:
    """A server that runs."""
    programs = postgresql.binaries()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed (Debian: apt-get install postgresql)")
    made = postgresql.Server(tmp_path / "server", programs)
    made.start()
    yield made
    made.stop()


def test_two_processes_share_a_study(server: postgresql.Server, tmp_path: Path) -> None:
    arguments = (*SPACE, "--storage", server.url, "--trials", "6")
    folders = [tmp_path / "one", tmp_path / "other"]
    processes = [start(folder, *arguments) for folder in folders]
    ended = [process.communicate(timeout=400) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ended
    assert [errors for _, errors in ended] == ["", ""]
    one, other = (read(folder) for folder in folders)
    assert one["trials"] == [{**trial, "scores": mine["scores"], "mean": mine["mean"], "parameters": mine["parameters"]}
                             for trial, mine in zip(other["trials"], one["trials"], strict=True)]  # fmt: skip
    # Each has trained some of them, and both choose alike.
    assert 6 <= len(one["trials"]) <= 7
    owners = rows(server.url, "select distinct value_json from trial_user_attributes where key = 'owner'")
    assert len(owners) == 2
    assert one["chosen"] == other["chosen"]
    assert one["final"]["correct"] == other["final"]["correct"]


def test_a_server_that_stops_loses_no_finished_trial(server: postgresql.Server, tmp_path: Path) -> None:
    folder, arguments = tmp_path / "run", (*SPACE, "--storage", server.url, "--trials", "4")
    process = start(folder, *arguments)
    wait_until(lambda: finished(server.url) >= 2, process)
    server.stop()
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 2, errors
    assert len(errors.strip().splitlines()) == 1
    assert "cannot be used" in errors
    assert "finished trials are kept" in errors
    kept = stages(folder)
    assert len(kept) >= 2
    server.start()
    result = tune(folder, *arguments)
    assert result.returncode == 0, result.stderr
    after = stages(folder)
    assert {key: after[key] for key in kept} == kept
    assert [trial["state"] for trial in read(folder)["trials"]] == ["complete"] * 4
