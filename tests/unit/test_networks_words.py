"""Layers in words, without TensorFlow: what is read, what is refused, and how a network is fitted to examples."""

from __future__ import annotations

import msgspec
import pytest

from optkit.errors import InputError
from optkit.networks import KINDS, Layer, Network, fitted, read_layer


@pytest.mark.parametrize(
    ("words", "layer"),
    [
        ("conv:20x5", Layer("conv", size=20, side=5)),
        ("conv:8x3:same:stride2", Layer("conv", size=8, side=3, padding="same", stride=2)),
        (" Conv:8x3:STRIDE2 ", Layer("conv", size=8, side=3, stride=2)),
        ("depthwise:3:same", Layer("depthwise", side=3, padding="same")),
        ("pool:2", Layer("pool", side=2)),
        ("average:3:same", Layer("average", side=3, padding="same")),
        ("global", Layer("global")),
        ("flatten", Layer("flatten")),
        ("dense:65536", Layer("dense", size=65536)),
        ("dropout:0.25", Layer("dropout", rate=0.25)),
        ("dropout:0", Layer("dropout")),
        ("batchnorm", Layer("batchnorm")),
    ],
)
def test_words_are_read(words: str, layer: Layer) -> None:
    assert read_layer(words) == layer


@pytest.mark.parametrize(
    "words",
    [
        *("conv:20", "conv:0x3", "conv:3x0", "conv:20x5x2", "conv:20x5:stride0", "conv:99999x3", "conv:20x5:sane"),
        *("depthwise", "depthwise:0", "depthwise:3x3", "pool:0", "pool:2:stride2", "pool:-2", "average:x"),
        *("global:2", "flatten:1", "batchnorm:0.9"),
        *("dense", "dense:0", "dense:65537", "dense:1.5", "dense:10:same", "dense:10:20"),
        *("dropout", "dropout:1", "dropout:1.5", "dropout:-0.1", "dropout:nan", "dropout:half"),
    ],
)
def test_bad_numbers_are_refused_with_what_is_expected(words: str) -> None:
    with pytest.raises(InputError) as raised:
        read_layer(words)
    assert f"layer {words!r}: expected {KINDS[words.split(':', maxsplit=1)[0]]}" in str(raised.value)


@pytest.mark.parametrize(("words", "hint"), [("dnse:10", "dense"), ("convv:3x3", "conv"), ("", ""), ("lstm:3", "")])
def test_unknown_layers_are_refused_with_the_nearest(words: str, hint: str) -> None:
    with pytest.raises(InputError, match=f"unknown layer '{words}'.*{hint}"):
        read_layer(words)


@pytest.mark.parametrize(
    "field", [{"activation": "rellu"}, {"dropout": 1.0}, {"dropout_after": "first"}, {"l1": -1.0}, {"l2": 11.0}]
)
def test_knobs_out_of_range_are_refused(field: dict[str, object]) -> None:
    assert msgspec.convert({"layers": ["dense:3"]}, Network) == Network(("dense:3",))
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"layers": ["dense:3"], **field}, Network)


@pytest.mark.parametrize(
    ("own", "example", "shape"),
    [
        ((28, 28, 1), (28, 28), (28, 28, 1)),
        ((28, 28, 1), (20, 30, 3), (20, 30, 3)),
        ((28, 28), (28, 28, 1), (28, 28)),
        ((28, 28), (9,), (9,)),
        ((784,), (20, 30, 3), (1800,)),
    ],
)
def test_a_network_is_fitted_to_the_examples(
    own: tuple[int, ...], example: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    assert fitted(Network(("flatten", "dense:3"), input_shape=own), example).input_shape == shape


def test_pictures_are_wanted_where_windows_are() -> None:
    for words in ("conv:3x3", "depthwise:3", "pool:2", "average:2", "global"):
        with pytest.raises(InputError, match=r"takes pictures, the data's examples have the shape \[13\]"):
            fitted(Network((words,)), (13,))
