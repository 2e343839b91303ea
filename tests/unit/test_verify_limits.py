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


def test_what_was_trained_for_4_bits_has_the_limits_of_what_was_trained_for_8() -> None:
    trained = limits_for("int4", quantization_aware=True)
    assert trained == limits_for("int8", quantization_aware=True)
    assert trained.mean_of_spread < limits_for("int4", quantization_aware=False).mean_of_spread
    # A deep network's limit is no narrower than a shallow one's.
    for kernels in (4, 5, 100):
        assert limits_for("int4", quantization_aware=False, kernels=kernels).largest_of_range == 1.0
