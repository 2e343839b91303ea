"""How far a right file may be from its reference."""

from __future__ import annotations

import pytest

from optkit.verify.parity import limits_for


def test_deep_networks_may_round_more_up_to_half_of_the_spread() -> None:
    shallow = limits_for("int8", quantization_aware=False, kernels=4)
    deep = limits_for("int8", quantization_aware=False, kernels=16)
    assert deep.mean_of_spread == pytest.approx(2 * shallow.mean_of_spread)
    assert limits_for("int8", quantization_aware=False, kernels=10_000).mean_of_spread == 0.5
    # Sums of float32 have a limit that holds for all.
    fp32 = limits_for("fp32", quantization_aware=False)
    assert limits_for("fp32", quantization_aware=False, kernels=200) == fp32
