"""Models of every making come out as Keras 3 files that answer the same, with the same bytes each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from optkit import registry
from optkit.pipeline.stages import PRELOAD, WORKER_ENVIRONMENT
from optkit.workers import Failure, Job, Workers

pytestmark = pytest.mark.slow
JOBS = "to_keras3_jobs"
# In groups that share a process; the second time each is in another process and place.
GROUPS = (
    (*registry.names("baselines"), "network", "pruned", "clustered"),
    ("quantized", "partly quantized", "operators", "sequences", "rebuilt", "rebuilt MobileNetV3"),
)
NAMES = tuple(name for group in GROUPS for name in group)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What came of each model, twice, and of those that cannot come out."""
    out = tmp_path_factory.mktemp("out")
    jobs = [Job("refuse", f"{JOBS}:refuse", {})]
    for turn in ("first", "second"):
        for number, group in enumerate(GROUPS):
            # A message to here is short: three models at a time.
            names = list(group if turn == "first" else group[::-1])
            for start in range(0, len(names), 3):
                folder = out / turn / f"{number} {start}"
                folder.mkdir(parents=True)
                arguments = {"names": names[start : start + 3], "folder": str(folder)}
                jobs.append(Job(f"{turn} {number} {start}", f"{JOBS}:bring_out", arguments))
    environment = {**WORKER_ENVIRONMENT, "PYTHONPATH": str(Path(__file__).parent)}
    with Workers(PRELOAD, environment, out / "log.txt") as pool:
        found = pool.run(jobs, cores=2, on_event=lambda *_: None)
    for job in jobs[1:]:
        for place, name in enumerate(job.arguments["names"]):
            whole = found[job.name]
            found[f"{job.name.split()[0]} {name}"] = whole if isinstance(whole, Failure) else whole[place]
    return found


def result(results: dict[str, Any], name: str) -> Any:
    assert not isinstance(results[name], Failure), results[name]
    return results[name]


@pytest.mark.parametrize("name", NAMES)
def test_answers_the_same(results: dict[str, Any], name: str) -> None:
    found = result(results, f"first {name}")
    if "quantized" in name:
        # The rounding is not in the file; the trained weights are.
        assert 1e-5 < found["difference"] < 0.1
        assert found["agree"] > 0.9
        assert "rounding to int8 is not in it" in found["notes"][0]
    else:
        assert found["difference"] < 1e-5
        assert found["notes"] == []


@pytest.mark.parametrize("name", NAMES)
def test_is_the_same_file_each_time(results: dict[str, Any], name: str) -> None:
    first, second = (result(results, f"{turn} {name}") for turn in ("first", "second"))
    assert first["sha256"] == second["sha256"]
    assert first["dates"] == [[1980, 1, 1, 0, 0, 0]]
    assert first["metadata"] == ["keras_version"]
    assert first["left"] == []


def test_names_stay(results: dict[str, Any]) -> None:
    layers = ["image", "conv", "norm", "six", "deep", "separable", "sum", "flat", "drop", "dense", "out"]
    for name in ("network", "pruned", "clustered"):
        found = result(results, f"first {name}")
        assert (found["layers"], found["inputs"], found["outputs"]) == (layers, ["image"], ["out"])
    quantized = result(results, "first quantized")
    assert (quantized["inputs"], quantized["outputs"]) == (["image"], ["out"])
    assert {"conv", "norm", "six", "deep", "sum", "flat", "dense", "out"} <= set(quantized["layers"])
    assert "inner" in result(results, "first operators")["layers"]


def test_what_the_techniques_did_is_in_the_file(results: dict[str, Any]) -> None:
    assert result(results, "first network")["zeros"] == 0
    assert result(results, "first pruned")["zeros"] > 0.4
    assert result(results, "first clustered")["distinct"] <= 4
    assert result(results, "first network")["distinct"] > 4


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lambda", "layer 'twice': Keras 3 has no counterpart of Lambda"),
        ("own", "layer 'own': Keras 3 has no counterpart of Own"),
        ("frozen", "one frozen graph"),
        ("wavy", "layer 'wavy': Keras 3 has no activation"),
        ("negated conv", "differs by"),
        ("negated side", "differs by"),
        ("negated out", "differs by"),
        ("negated norm", "differs by"),
        ("not a number", "differs by nan"),
        ("subclassed", "expected a functional"),
        ("as it was", "nothing"),
    ],
)
def test_what_cannot_come_out_is_refused(results: dict[str, Any], name: str, message: str) -> None:
    found = result(results, "refuse")[name]
    assert message in found
    assert "\n" not in found
