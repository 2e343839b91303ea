"""What a search leaves for whoever looks into its folder, and how its time ends it."""

from __future__ import annotations

import signal
import threading
import time
from typing import TYPE_CHECKING

import msgspec
import pytest
from sample_search import LIMITS, sample_search

from optkit.environment import describe
from optkit.errors import InputError
from optkit.pipeline.figures import Measured
from optkit.pipeline.outputs import left_over
from optkit.schema import Latency
from optkit.search.budget import Budget
from optkit.search.rounds import TimeUpError, time_limit
from optkit.search.run import _timed_again, compress_within
from optkit.search.select import Choice
from optkit.search.state import NAME, nearest_so_far

if TYPE_CHECKING:
    from pathlib import Path

    from optkit.search_record import SearchRecord


def test_the_time_ends_what_waits() -> None:
    before = signal.getsignal(signal.SIGALRM)
    began = time.monotonic()
    with pytest.raises(TimeUpError), time_limit(0.05):
        time.sleep(30)
    assert time.monotonic() - began < 10
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    # No failure of anything on the way.
    assert not issubclass(TimeUpError, Exception)


def test_what_is_over_in_time_is_left_alone() -> None:
    with time_limit(0.2):
        pass
    with time_limit(None):
        time.sleep(0.3)
    ended = []

    def elsewhere() -> None:
        with time_limit(0.01):
            time.sleep(0.1)
        ended.append(True)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert ended


def test_the_nearest_so_far_is_named_only_while_its_file_is_there(tmp_path: Path) -> None:
    assert nearest_so_far(tmp_path) is None
    (tmp_path / NAME).write_text("{half")
    assert nearest_so_far(tmp_path) is None
    (tmp_path / NAME).write_bytes(msgspec.json.encode(sample_search(met=False)))
    assert nearest_so_far(tmp_path) is None
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / "near.tflite").write_bytes(b"1")
    assert nearest_so_far(tmp_path) == (
        f"{tmp_path}/artifacts/near.tflite (size: 21,000 bytes, 520 bytes over the limit of 20KiB (1.03 times it))"
    )


def timed_again(p50_us: float) -> SearchRecord:
    """The sample search, whose delivered file has taken so long when it was timed again."""
    record = sample_search()
    choice = Choice(record.trials[1], met=True, missed=[], rule="")
    latency = Latency(p50_us, None, None, p50_us, None, 50, 3, 1, 1, 1.0, 1.0, [[p50_us]])
    slot = (choice.tried.name, choice.tried.format)
    measured = Measured(describe(), {slot: latency}, {}, [], {}, [], [])
    return _timed_again(record, choice, Budget(tuple(LIMITS)), measured)


def test_a_file_that_is_too_slow_when_timed_again_is_not_within() -> None:
    assert timed_again(99.0) == sample_search()
    slow = timed_again(120.0)
    assert not slow.met
    (missed,) = slow.missed
    assert "20.0 µs over the limit of 100us" in missed
    assert missed.endswith("when timed again beside fp32")


def test_an_unknown_limit_is_refused() -> None:
    with pytest.raises(InputError, match="did you mean max_size"):
        compress_within({"max_sise": "20KB"})


def test_a_file_that_was_begun_when_the_time_was_up_is_not_called_an_earlier_runs(tmp_path: Path) -> None:
    record = sample_search()
    (tmp_path / "artifacts").mkdir()
    for name in ("fp32.tflite", f"{record.trials[0].name}.{record.trials[0].format}"):
        (tmp_path / "artifacts" / name).touch()
    made = [("fp32", "tflite")]
    assert left_over(tmp_path, made, record) == []
    (tmp_path / "artifacts" / "int16x8.tflite").touch()
    (found,) = left_over(tmp_path, made, record)
    assert found.startswith("not judged: begun when the time was up, or left from an earlier run")
    assert found.endswith(": artifacts/int16x8.tflite")
    (found,) = left_over(tmp_path, [*made, (record.trials[0].name, record.trials[0].format)], None)
    assert found == "not of this run, left from an earlier one in the same folder: artifacts/int16x8.tflite"
