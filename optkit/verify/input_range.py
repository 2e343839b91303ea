"""An integer input's scale against the images: whether the file was calibrated on data like these."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from optkit.runtimes import _ports
from optkit.schema import Check

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.readback import Port

# Twice the symmetric range wastes one of the 8 bits (two where no data are negative); calibration on 0 to
# 255 for data from 0 to 1 wastes all 8.
_WIDTH_AT_MOST = 2.0
# Percentile calibration leaves out one value in a thousand on purpose.
_CLIPPED_AT_MOST = 0.01


def all_checks(images: np.ndarray, ports: Sequence[Port]) -> list[Check]:
    """``checks`` of every input; of several the checks say which one they are of.

    Args:
        images: Real inputs float32 [n, …], or a structure with a field for each.
        ports: The file's inputs.
    """
    found = []
    for values, port in _ports.paired(images, ports):
        named = f" {port.name}" if len(ports) > 1 else ""
        found += [
            msgspec.structs.replace(one, name=one.name.replace("input", f"input{named}", 1))
            for one in checks(values, port)
        ]
    return found


def checks(images: np.ndarray, port: Port) -> list[Check]:
    """Compare the values that an integer input can take with the images.

    Real values of an integer input are r = scale · (q − zero point) (Jacob et al. 2018, equation 1).

    Args:
        images: float32 [n, …], as the source model takes them.
        port: The file's input; a float one has no range, so nothing is checked.
    """
    if port.scale is None or port.zero_point is None:
        return []
    limits = np.iinfo(port.dtype)
    low = port.scale * (limits.min - port.zero_point)
    high = port.scale * (limits.max - port.zero_point)
    # A symmetric type spends half of its codes on a sign that image data may not have.
    needed = 2 * float(np.abs(images).max())
    width = (high - low) / needed if needed > 0 else float("inf")
    clipped = float(np.mean((images < low - port.scale) | (images > high + port.scale)))
    return [
        Check(
            "input range fits the data",
            passed=width <= _WIDTH_AT_MOST,
            observed=width,
            limit=_WIDTH_AT_MOST,
            unit="of the symmetric range of the images",
            reason=f"the input stands for {low:.4g} to {high:.4g}; wider than the data, its steps are wasted",
        ),
        Check(
            "input range covers the data",
            passed=clipped <= _CLIPPED_AT_MOST,
            observed=clipped,
            limit=_CLIPPED_AT_MOST,
            unit="of the pixels",
            reason=f"the input stands for {low:.4g} to {high:.4g}; pixels beyond are clipped",
        ),
    ]
