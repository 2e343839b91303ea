"""Every kind of Keras file is taken in and computes what it did; hostile ones are refused before anything runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from optkit.pipeline.stages import PRELOAD, WORKER_ENVIRONMENT
from optkit.workers import Failure, Job, Workers

JOBS = "importing_jobs"
pytestmark = pytest.mark.slow
# name: (file, arguments, expected outputs)
HONEST: dict[str, tuple[str, dict[str, str], str]] = {
    "Keras 3 .keras": ("three.keras", {}, "three"),
    "Keras 3 .h5": ("three.h5", {}, "three"),
    "Keras 2 .keras": ("two.keras", {}, "two"),
    "Keras 2 .h5": ("two.h5", {}, "two"),
    "export of Keras 3": ("three_exported", {}, "three"),
    "save of tf_keras": ("two_saved", {}, "two"),
    "tf.saved_model.save": ("two_tf", {}, "two"),
    "own class, Keras 3 .keras": ("own3.keras", {"custom": "objects.py"}, "own3"),
    "own class, Keras 3 .h5": ("own3.h5", {"custom": "objects.py"}, "own3"),
    "registered class": ("own3_registered.keras", {"custom": "objects.py"}, "own3_registered"),
    "own class, Keras 2 .keras": ("own2.keras", {"custom": "objects.py"}, "own2"),
    "own class, Keras 2 .h5": ("own2.h5", {"custom": "objects.py"}, "own2"),
    "subclassed": ("subclassed.keras", {"custom": "objects.py"}, "subclassed"),
    "mixed precision": ("mixed.h5", {}, "mixed"),
    "weights of Keras 3": ("lenet3.weights.h5", {"baseline": "lenet5"}, "lenet3"),
    "weights of tf_keras": ("lenet2.weights.h5", {"baseline": "lenet5"}, "lenet2"),
    "legacy weights": ("lenet2.h5", {"baseline": "lenet5"}, "lenet2"),
}
FROZEN = {"export of Keras 3", "save of tf_keras", "tf.saved_model.save", "subclassed"} | {
    name for name in HONEST if "class" in name
}
# name: (file, arguments, part of the message)
REFUSED: dict[str, tuple[str, dict[str, str], str]] = {
    "own class of Keras 3": ("own3.keras", {}, "layer 'own' is of class 'Twice'"),
    "own class in .h5 of Keras 3": ("own3.h5", {}, "layer 'own' is of class 'Twice'"),
    "own class of tf_keras": ("own2.keras", {}, "layer 'own' is of class 'Twice2'"),
    "own class in .h5 of tf_keras": ("own2.h5", {}, "layer 'own' is of class 'Twice2'"),
    "subclassed model": ("subclassed.keras", {}, "'Branches'"),
    "own function": ("bent.keras", {}, "layer 'bending' uses the function 'bent'"),
    **{
        f"{name} {given}": (name, {"custom": "objects.py"} if given else {}, "layer 'evil' is a Lambda")
        for name in ("lambda3.keras", "lambda3.h5", "lambda2.keras", "lambda2.h5")
        for given in ("", "with own file")
    },
    "named Lambda": ("named.keras", {"custom": "objects.py"}, "layer 'named' is a Lambda"),
    "own file that fails": ("own3.keras", {"custom": "fails.py"}, "ValueError: broken"),
    "own file of nothing": ("own3.keras", {"custom": "nothing.py"}, "defines no class"),
    "own file that is none": ("own3.keras", {"custom": "none.py"}, "expects a Python file"),
    "weights alone": ("lenet3.weights.h5", {}, "--baseline"),
    "weights of another network": ("lenet3.weights.h5", {"baseline": "mlp-128"}, "not those of mlp-128"),
    "legacy weights of another": ("lenet2.h5", {"baseline": "mlp-128"}, "not those of mlp-128"),
    "unbuilt": ("unbuilt.keras", {}, "never built"),
    "unbuilt Keras 3": ("unbuilt3.keras", {}, "never built"),
    "more weights than stored": ("many_units.keras", {}, "layer 'out' declares more weights than the file holds"),
    "the same of tf_keras": ("many_units2.keras", {}, "layer 'out' declares more weights than the file holds"),
    "the same in .h5": ("many_units.h5", {}, "layer 'out' declares more weights than the file holds"),
    "huge tensors": ("wide.keras", {}, "numbers for one example"),
    "writes a file": ("writes", {}, "WriteFile"),
    "reads a file": ("reads", {}, "ReadFile"),
    "calls Python": ("python", {}, "PyFunc"),
    "prints": ("prints", {}, "its operator"),
    "has a table": ("table", {}, "its operator"),
    "fixed batch": ("fixed_batch", {}, "any batch size"),
    "any size": ("any_size", {}, "fixed shape"),
    "no rank": ("no_rank", {}, "fixed shape"),
    "texts": ("texts", {}, "texts"),
    "no graph": ("empty_graph", {}, "no graph for serving"),
    "noise": ("noise", {}, "cannot read"),
    "links that leave": ("linked", {}, "leaves the folder"),
    "cut variables": ("cut_variables", {}, "variable"),
}
RUN = ["three", "two", "own3", "lambda3", "many_units"]
SAVED = {"three_exported": None, "own2.h5": "objects.py", "subclassed.keras": "objects.py", "loops": None}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def results(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What came of every file, each in a process of its own."""
    out = tmp_path_factory.mktemp("out")
    honest = {
        name: {"path": file, **given, "expected": f"{expected}.npy"} for name, (file, given, expected) in HONEST.items()
    }
    honest["two outputs"] = {"path": "two_outputs"}
    refused = {name: {"path": file, **given} for name, (file, given, _) in REFUSED.items()}
    saved = {str(folder / file): str(folder / custom) if custom else None for file, custom in SAVED.items()}
    backwards = dict(reversed(saved.items()))
    jobs = [
        Job("make", f"{JOBS}:make_files", {"folder": str(folder)}),
        Job(
            "honest",
            f"{JOBS}:take_in",
            {"cases": in_folder(folder, honest), "target": str(out / "honest.json")},
            after=("make",),
        ),
        Job(
            "refused",
            f"{JOBS}:take_in",
            {"cases": in_folder(folder, refused), "target": str(out / "refused.json")},
            after=("make",),
        ),
        Job("save", f"{JOBS}:save", {"cases": saved, "folder": str(out / "first")}, after=("make",)),
        Job("again", f"{JOBS}:save", {"cases": backwards, "folder": str(out / "second")}, after=("make",)),
        Job("run", f"{JOBS}:run_keras", {"folder": str(folder), "files": RUN}, after=("make",)),
        Job("look up", f"{JOBS}:look_up", {}, after=("make",)),
    ]
    for path, custom in saved.items():
        arguments = {"path": path, "custom": custom, "folder": str(out)}
        jobs.append(Job(f"export {Path(path).name}", f"{JOBS}:export_all", arguments, after=("make",)))
    environment = {**WORKER_ENVIRONMENT, "PYTHONPATH": str(Path(__file__).parent)}
    with Workers(PRELOAD, environment, out / "log.txt") as pool:
        found = pool.run(jobs, cores=2, on_event=lambda *_: None)
    for name in ("honest", "refused"):
        if not isinstance(found[name], Failure):
            found[name] = json.loads((out / f"{name}.json").read_text())
    return found


def in_folder(folder: Path, cases: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """The same with whole paths."""
    return {
        name: {key: value if key == "baseline" else str(folder / value) for key, value in one.items()}
        for name, one in cases.items()
    }


def result(results: dict[str, Any], name: str) -> Any:
    assert not isinstance(results[name], Failure), results[name]
    return results[name]


@pytest.mark.parametrize("name", HONEST)
def test_is_taken_in_and_computes_the_same(results: dict[str, Any], name: str) -> None:
    found = result(results, "honest")[name]
    assert "error" not in found, found
    # Half-precision arithmetic was what the file asked for.
    assert found["difference"] < (2e-3 if name == "mixed precision" else 1e-5)
    frozen = name in FROZEN
    assert (found["post_training_only"] is not None) == frozen
    assert (found["layers"][-1] == "network") == frozen
    assert found["policies"] == ["float32"]
    assert found["kind"] == ("linear" if name == "mixed precision" else "softmax")


def test_what_is_said_about_them(results: dict[str, Any]) -> None:
    found = result(results, "honest")
    three = found["Keras 3 .keras"]
    assert three["source"] == "Keras 3 .keras"
    assert three["rebuilt_difference"] < 1e-5
    assert three["layers"] == ["image", "conv", "norm", "six", "side", "sum", "flat", "out"]
    assert (three["inputs"], three["outputs"]) == (["image"], ["out"])
    assert found["export of Keras 3"]["source"] == "TensorFlow SavedModel"
    for name in ("own class, Keras 3 .keras", "own class, Keras 2 .h5"):
        assert "layer 'own': Twice" in found[name]["post_training_only"]
    assert found["mixed precision"]["notes"] == ["computed with the policy mixed_float16, taken over in float32"]
    assert "lenet5" in found["legacy weights"]["notes"][0]
    assert (len(found["two outputs"]["outputs"]), found["two outputs"]["kind"]) == (2, None)


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused(results: dict[str, Any], folder: Path, name: str) -> None:
    found = result(results, "refused")[name]
    assert found.get("error") == "InputError", found
    assert REFUSED[name][2] in found["message"]
    assert "\n" not in found["message"]
    assert str(folder) in found["message"]


def test_no_code_of_a_file_ran(results: dict[str, Any], folder: Path) -> None:
    result(results, "refused")
    assert not (folder / "canary").exists()


def test_a_frozen_graph_is_saved_with_the_same_bytes_everywhere(results: dict[str, Any]) -> None:
    digests = result(results, "save")
    assert len(set(digests)) == len(SAVED)
    assert digests == result(results, "again")


@pytest.mark.parametrize("file", SAVED)
def test_a_frozen_graph_goes_into_every_precision(results: dict[str, Any], file: str) -> None:
    found = result(results, f"export {file}")
    assert found.pop("reloaded") == 0
    assert found.pop("eager") < 1e-6
    assert found.pop("names")[0]
    assert len(found) == (7 if file == "loops" else 10)
    for name, difference in found.items():
        if name == "tflite dynamic" and isinstance(difference, str):
            # These networks are small: TensorFlow's converter would leave all of their kernels in float.
            assert "nothing would be quantized" in difference
            continue
        limit = {"fp32": 1e-5, "fp16": 5e-3, "int4": 0.1}.get(name.split()[1], 0.05)
        # The loop's numbers are raw ones of up to 10, not probabilities.
        assert difference < limit * (20 if file == "loops" else 1), name


def test_the_keras_runtime_loads_the_same_way(results: dict[str, Any]) -> None:
    three, two, own, evil, large = result(results, "run")
    assert three < 1e-5
    assert two < 1e-5
    assert "'Twice'" in own
    assert "Lambda" in evil
    assert "more weights" in large


def test_what_the_libraries_have(results: dict[str, Any]) -> None:
    found = result(results, "look up")
    assert all(found["there"]), found
    assert not any(found["not there"]), found
