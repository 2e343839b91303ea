"""TensorFlow on a disk that takes no more: told, where its converter makes another file without a word."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import resource, signal
import tf_keras
from optkit.errors import EnvironmentFailedError
from optkit.exporters import tflite
model = tf_keras.Sequential([tf_keras.layers.Input((8,)), tf_keras.layers.Dense(4096)])
whole = tflite._convert(model)
# Files of at most 10,000 bytes, of which the weights take 147,456: as on a disk that is full by then.
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    tflite._convert(model)
except EnvironmentFailedError as error:
    print("told:", error)
else:
    print("not told")
"""


def test_a_full_disk_on_the_way_is_an_error_and_never_another_file() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.startswith("told: TensorFlow cannot write the model to "), done.stdout + done.stderr[-2000:]
    assert "File too large" in done.stdout
    assert "free space" in done.stdout
