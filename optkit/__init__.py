"""optkit: compress Keras models, prove and measure every file, and say which one to ship.

``optkit.compress(...)`` and ``optkit.train(...)`` are the commands from Python and return their records. Importing this
package loads neither numpy nor TensorFlow.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optkit.pipeline.run import compress
    from optkit.pipeline.train_run import train

__all__ = ["__version__", "compress", "train"]

# From 1.29 on ONNX Runtime sends names and hashes of the models that it opens to its maker, and keeps a device id in
# the user's home folder, unless this is set before it is imported. What optkit measures stays here.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def __getattr__(name: str) -> Any:  # a module attribute may be anything
    if name == "compress":
        from optkit.pipeline.run import compress

        return compress
    if name == "train":
        from optkit.pipeline.train_run import train

        return train
    if name == "__version__":
        from importlib.metadata import version

        return version("optkit")
    raise AttributeError(f"module 'optkit' has no attribute {name!r}")
