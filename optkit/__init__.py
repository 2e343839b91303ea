"""optkit: compress Keras models, prove and measure every file, and say which one to ship.

``optkit.compress(...)`` is ``optkit compress`` from Python and returns the report as a record. Importing this
package loads neither numpy nor TensorFlow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optkit.pipeline.run import compress

__all__ = ["__version__", "compress"]


def __getattr__(name: str) -> Any:  # a module attribute may be anything
    if name == "compress":
        from optkit.pipeline.run import compress

        return compress
    if name == "__version__":
        from importlib.metadata import version

        return version("optkit")
    raise AttributeError(f"module 'optkit' has no attribute {name!r}")
