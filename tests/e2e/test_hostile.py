"""About a hundred mutated and hostile files through the command line; ``scripts/bench hostile`` tries 2,000."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import model_files
import pytest
from conftest import optkit

from benchmarks import hostile
from benchmarks._hostile_ways import Bench, Servers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Two shared cores are at times many times slower than themselves.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    scratch = tmp_path_factory.mktemp("hostile")
    samples, outside = scratch / "samples", scratch / "outside"
    samples.mkdir()
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret" * 1000)
    for name in ("fp32", "int8"):
        model_files.write_tflite(samples, model_files.network(), name)
        model_files.write_onnx(samples, model_files.network(), name)
    files = [str(samples / name) for name in ("fp32.tflite", "int8.tflite")]
    made = optkit("benchmark", *files, "--min-time", "0.1", "--max-time", "1", "--json", str(samples / "report.json"))
    assert made.returncode == 0, made.stderr
    (samples / "recipe.toml").write_text("[settings]\nseed = 3\n\n[[recipe]]\nsteps = [{ name = 'int8' }]\n")
    with Servers(scratch) as servers:
        yield Bench(scratch, samples, outside, servers)
    assert [path.name for path in outside.iterdir()] == ["secret"]


# Of the mutated files that are made, each third is given to `inspect`.
@pytest.mark.parametrize(
    ("name", "count", "traps", "way", "least"),
    [
        ("tflite", 1, True, "benchmark", 13),
        ("tflite", 36, False, "inspect", 12),
        ("tflite", 12, True, "slim", 15),
        ("onnx", 1, True, "benchmark", 21),
        ("onnx", 36, False, "inspect", 12),
        ("onnx", 12, True, "slim", 23),
        ("report", 8, True, "report", 18),
        ("recipe", 4, True, "compress --recipe", 12),
    ],
)
def test_hostile_files_are_refused_in_one_line(  # noqa: PLR0917  # a table's columns
    bench: Bench, name: str, count: int, traps: bool, way: str, least: int
) -> None:
    tried = hostile.attack(name, bench, count=count, traps=traps, ways={way})
    assert len(tried.results) >= least
    assert not tried.faults, "\n".join(hostile.lines(tried))
    assert {result.verdict for result in tried.results} <= {"refused", "accepted"}
    refused = [result for result in tried.results if result.verdict == "refused"]
    assert len(refused) >= least // 3


def test_a_sound_file_passes_the_same_way(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "sound.tflite"
    shutil.copy(bench.samples / "int8.tflite", path)
    (way,) = (one for one in hostile.FORMATS["tflite"].ways if one.name == "benchmark")
    (result,) = way.go([path], bench)
    assert (result.verdict, result.detail) == ("accepted", "")
