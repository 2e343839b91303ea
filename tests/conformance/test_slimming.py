"""Every slimmer, on every file that the exporters make: smaller, and the same bit for bit on real images."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import optkit
from optkit import data, readback, registry, runtimes, slimming
from optkit.verify import identity

IMAGES = 1000
WORKER = Path(__file__).parent / "export_worker.py"
EXPORTERS = [registry.load("exporters", name) for name in registry.names("exporters")]
JOBS = [
    *(("plain", module.FORMAT, precision) for module in EXPORTERS for precision in module.PRECISIONS),
    *(("trained", module.FORMAT, "int8") for module in EXPORTERS),
]
FILES = [f"{model}-{precision}.{file_format}" for model, file_format, precision in JOBS]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all files."""
    dataset = data.load("mnist")
    root = tmp_path_factory.mktemp("slim-exports")
    train = dataset.train.first(1200)
    np.savez(root / "train.npz", x=_real(train.images[:]), y=train.labels)
    np.save(root / "images.npy", _real(dataset.validation.images[:IMAGES]))
    (root / "files").mkdir()
    jobs = [
        {"model": model, "format": file_format, "precision": precision, "options": {}, "file": file}
        for (model, file_format, precision), file in zip(JOBS, FILES, strict=True)
    ]
    environment = {
        **os.environ,
        "TF_USE_LEGACY_KERAS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": str(Path(optkit.__file__).parents[1]),
    }
    command = [sys.executable, "-W", "ignore", str(WORKER), str(root / "files"), json.dumps(jobs)]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return root / "files"


def _real(images: np.ndarray) -> np.ndarray:
    return (images[..., None] / 255).astype(np.float32)


def test_each_format_that_is_exported_has_a_slimmer() -> None:
    formats = {registry.load("slimming", name).FORMAT for name in registry.names("slimming")}
    assert formats == set(registry.formats())


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_a_slim_file_is_smaller_and_the_same_bit_for_bit(made: Path, file: str) -> None:
    path, slim = made / file, made / f"slim-{file}"
    before = path.read_bytes()
    file_format = registry.format_of(path)
    found = slimming.slim(before, file_format)
    slim.write_bytes(found.content)
    assert sum(found.saved.values()) == len(before) - len(found.content)
    # What does not depend on the size of the network: of TFLite files at least 1.5 kB, of ONNX files a tenth of that.
    assert len(before) - len(found.content) > {"tflite": 1500, "onnx": 150}[file_format]
    proven = identity.compare(path, slim, images=np.load(made.parent / "images.npy"))
    assert (proven.difference, proven.inputs, proven.batches) == (None, IMAGES, (1, 3))
    assert proven.kernels == runtimes.kernels(file_format)
    # An int8 softmax gives some images equal answers.
    assert proven.distinct > IMAGES * 0.5
    facts = [readback.read(one) for one in (path, slim)]
    weights = [[one.values.tobytes() for one in each.constants if one.role == "weight"] for each in facts]
    assert weights[0] == weights[1]
    assert slimming.slim(found.content, file_format).content == found.content


@pytest.mark.slow
@pytest.mark.parametrize("file", [file for file in FILES if file.endswith("tflite") and "int16" not in file])
def test_the_delegate_takes_what_it_took(made: Path, file: str) -> None:
    slim = made / f"delegate-{file}"
    slim.write_bytes(slimming.slim((made / file).read_bytes(), "tflite").content)
    before, after = (readback.read(path) for path in (made / file, slim))
    flattenings = len(before.operators) - len(after.operators)
    taken = [runtimes.open_model(path).delegated_nodes() for path in (made / file, slim)]
    assert flattenings in {0, 1}
    assert taken[1] >= taken[0] - flattenings
