"""The tools of the hostile benchmark: mutations that do something, and a guard that sees what a command must not do."""

from __future__ import annotations

import random
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import _guarded
from benchmarks._mutations import MUTATIONS, mutate

if TYPE_CHECKING:
    from pathlib import Path


@given(st.binary(min_size=1, max_size=2000), st.integers(0, 1000))
def test_a_mutation_changes_something_and_the_same_each_time(data: bytes, seed: int) -> None:
    name, made = mutate(data, f"seed {seed}")
    assert made != data
    assert name in MUTATIONS
    assert mutate(data, f"seed {seed}") == (name, made)


@pytest.mark.parametrize("name", MUTATIONS)
def test_each_mutation_takes_any_file(name: str) -> None:
    changed = 0
    for size in (1, 3, 64, 5000):
        data = bytes(index % 251 for index in range(size))
        for seed in range(20):
            made = MUTATIONS[name](data, random.Random(seed))
            assert len(made) <= len(data) + 4096
            changed += made != data
    assert changed > 30


def guarded(tmp_path: Path, code: str, *, seconds: float = 20.0, watched: tuple[Path, ...] = ()) -> _guarded.Outcome:
    """Run Python code in the place of optkit."""
    with pytest.MonkeyPatch.context() as patch, _guarded.place(tmp_path) as at:
        patch.setattr(_guarded, "OPTKIT", (sys.executable, "-c"))
        return _guarded.run([code], at, watched, seconds=seconds)


REFUSES = "import sys; sys.stderr.write('Error: expected a, found b\\n'); sys.exit(2)"


def test_a_command_that_refuses_in_one_line_is_as_it_must_be(tmp_path: Path) -> None:
    outcome = guarded(tmp_path, REFUSES)
    assert (outcome.exit_code, outcome.faults) == (2, [])
    assert guarded(tmp_path, "import os; os.mkdir('out'); open('out/report.json', 'w')").faults == []


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("import sys; sys.exit('Internal error')", "exit code 1"),
        ("import os; os.abort()", "exit code -6"),
        ("import sys; sys.exit(2)", "no word on what is wrong"),
        (REFUSES.replace("Error", "Error\\nand more"), "2 lines of errors"),
        (REFUSES.replace("Error", "Traceback (most recent call last)"), "a traceback on the screen"),
        ("print('\\x1b[2J')", "control characters"),
        ("open('new', 'w')", "left "),
        ("import os; open(os.environ['HOME'] + '/.cache', 'w')", "left "),
        ("import os; open(os.environ['TMPDIR'] + '/x', 'w')", "left "),
        ("import tempfile; tempfile.mkdtemp()", "left "),
        ("open('mine.txt', 'a').write('!')", "changed "),
        ("import os; os.remove('beside/model.keras')", "removed "),
        ("import os; os.chmod('beside', 0o777)", "changed "),
        ("import os, time; os.fork() or time.sleep(60)", "left 1 processes"),
    ],
)
def test_what_a_command_must_not_do_is_seen(tmp_path: Path, code: str, fault: str) -> None:
    assert any(fault in found for found in guarded(tmp_path, code).faults)


def test_a_command_that_hangs_is_ended(tmp_path: Path) -> None:
    outcome = guarded(tmp_path, "import os, time; os.fork(); time.sleep(60)", seconds=1)
    assert outcome.faults == ["hangs"]
    assert outcome.seconds < 20


def test_memory_of_the_whole_tree_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_guarded, "MOST_BYTES", 200 << 20)
    code = "import os, time; os.fork(); x = bytearray(150 << 20); time.sleep(1)"
    assert any("GiB of memory" in found for found in guarded(tmp_path, code).faults)
    assert guarded(tmp_path, "import time; x = bytearray(50 << 20); time.sleep(1)").faults == []


def test_a_folder_beside_is_watched(tmp_path: Path) -> None:
    beside = tmp_path / "beside"
    beside.mkdir()
    code = f"open({str(beside / 'planted')!r}, 'w')"
    assert any("planted" in found for found in guarded(tmp_path, code, watched=(beside,)).faults)
