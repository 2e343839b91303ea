"""Kernels as products of two: which rank keeps how much, and where two layers really are less than one."""

from __future__ import annotations

import numpy as np
import pytest

from optkit.techniques._factors import LEAST_SAVED, Layout, by_energy, by_share, spectrum, weights_of

RNG = np.random.default_rng(5)
CONV = RNG.normal(size=(5, 3, 8, 16)).astype(np.float32)


def product(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The kernel that two layers, one after the other, apply: each output is a sum over what lies between."""
    if first.ndim == 2:
        return np.matmul(first, second)
    height, width = first.shape[0], max(first.shape[1], second.shape[1])
    made = np.zeros((height, width, first.shape[2], second.shape[3]))
    for x in range(width):
        one = first[:, x if first.shape[1] > 1 else 0]
        other = second[0, x if second.shape[1] > 1 else 0]
        made[:, x] = np.einsum("hir,ro->hio", one, other)
    return made


@pytest.mark.parametrize(
    ("kernel", "scheme"),
    [(CONV, "channel"), (CONV, "spatial"), (CONV[2:3, 1:2], "channel"), (CONV[0, 0], "channel")],
)
def test_at_full_rank_the_product_is_the_kernel(kernel: np.ndarray, scheme: str) -> None:
    layout = Layout(scheme, kernel.shape)  # type: ignore[arg-type]
    found = spectrum(kernel, layout)
    first, second = found.factors(layout.full_rank)
    assert first.dtype == second.dtype == np.float32
    assert np.abs(product(first, second) - kernel).max() < 1e-5
    assert first.size + second.size == layout.parameters(layout.full_rank)
    assert found.energy(layout.full_rank) == pytest.approx(1.0)
    assert np.abs(product(*found.factors(layout.full_rank - 1)) - kernel).max() > 1e-2


def test_energy_is_what_the_truncated_product_keeps_and_its_rank_the_lowest() -> None:
    found = spectrum(CONV, Layout("spatial", CONV.shape))
    for energy in (0.3, 0.8, 0.99):
        rank = found.rank_for(energy)
        lost = ((product(*found.factors(rank)) - CONV) ** 2).sum() / (CONV**2).sum()
        assert 1 - lost == pytest.approx(found.energy(rank), abs=1e-5)
        assert found.energy(rank) >= energy > found.energy(rank - 1)


def test_a_kernel_of_low_rank_is_found_to_be_one() -> None:
    kernel = (RNG.normal(size=(60, 4)) @ RNG.normal(size=(4, 50))).astype(np.float32)
    found = spectrum(kernel, Layout("channel", kernel.shape))
    assert found.rank_for(1.0) == 4
    assert np.abs(product(*found.factors(4)) - kernel).max() < 1e-4


def test_a_kernel_of_zeros_has_rank_one() -> None:
    found = spectrum(np.zeros((6, 5), np.float32), Layout("channel", (6, 5)))
    assert found.rank_for(0.9) == 1
    assert found.energy(1) == 1.0


def test_the_highest_rank_is_the_last_at_which_a_layer_more_saves_its_cost() -> None:
    layouts = [
        Layout("channel", (100, 50)),
        Layout("channel", (5, 5, 3, 40), (576, 576, 576)),
        Layout("spatial", (3, 3, 32, 32), (26 * 28, 26 * 26, 26 * 26)),
    ]
    for layout in layouts:
        weights, macs = layout.full
        highest = layout.highest_rank
        assert highest > 0
        assert layout.parameters(highest) <= weights - LEAST_SAVED
        assert layout.macs(highest) < macs
        assert layout.parameters(highest + 1) > weights - LEAST_SAVED or layout.macs(highest + 1) >= macs
    # The first factor of a strided layer is applied at every column: it pays later for arithmetic than for weights.
    strided = Layout("spatial", (3, 3, 32, 32), (14 * 28, 14 * 14, 14 * 14))
    assert strided.highest_rank == 31
    assert strided.parameters(32) < strided.full[0]
    assert strided.macs(32) >= strided.full[1]


def test_no_rank_pays_for_a_tiny_kernel() -> None:
    layout = Layout("channel", (22, 23))
    assert layout.highest_rank == 0
    spectra = [spectrum(np.ones((22, 23), np.float32), layout)]
    assert by_energy(spectra, 0.1) is None
    assert by_share({"tiny": spectra}, 0.1) == {}


def test_by_energy_the_layout_with_the_least_arithmetic_is_taken() -> None:
    spectra = [spectrum(CONV, Layout(scheme, CONV.shape)) for scheme in ("channel", "spatial")]
    assert by_energy(spectra, 1.0) is None
    split = by_energy(spectra, 0.5)
    assert split is not None
    assert split.energy >= 0.5
    assert split.spectrum.layout.macs(split.rank) == min(one.layout.macs(one.rank_for(0.5)) for one in spectra)


@pytest.mark.parametrize("share", [0.7, 0.3, 0.1])
def test_by_share_no_other_ranks_of_as_many_weights_keep_more(share: float) -> None:
    # One of which little matters, one of which all does, and one in which a few directions do.
    steep = RNG.normal(size=(80, 60)) * 0.8 ** np.arange(60)
    shapes = {"steep": steep, "output": RNG.normal(size=(90, 10)), "flat": RNG.normal(size=(50, 50))}
    kernels = {name: [spectrum(one.astype(np.float32), Layout("channel", one.shape))] for name, one in shapes.items()}
    whole = weights_of(kernels, {})
    splits = by_share(kernels, share)
    left = weights_of(kernels, splits)
    assert 0.5 * share * whole < left <= share * whole
    assert "output" not in splits or share < 0.3
    kept = sum(splits[name].energy if name in splits else 1.0 for name in kernels)
    choices = [
        [(one.layout.parameters(rank), one.energy(rank)) for rank in range(1, one.layout.highest_rank + 1)]
        + [(one.layout.full[0], 1.0)]
        for (one,) in kernels.values()
    ]
    for first in choices[0]:
        for second in choices[1]:
            for third in choices[2]:
                if first[0] + second[0] + third[0] <= left:
                    assert first[1] + second[1] + third[1] <= kept + 1e-9


def test_a_share_that_cannot_be_reached_leaves_the_fewest_weights() -> None:
    kernels = {"only": [spectrum(CONV, Layout("spatial", CONV.shape))]}
    assert by_share(kernels, 1e-6)["only"].rank == 1
