"""Finds the first layer where two files of the same network part, beyond what their precision explains."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from optkit.report.difference import LayerDifference, Layers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from optkit.runtimes._layer_outputs import LayerOutput

# How far below what inputs and roundings explain a right layer may fall: sums that nearly cancel and ReLUs that let
# little through leave less signal beside the same noise. Seen in right files at most 4 dB.
MARGIN_DB = 10.0
# Equal to float32's last bits and beyond: no layer that is so alike parts, whatever its inputs were.
_ALIKE_DB = 100.0
# Squares of float32 rounding; a difference below is none.
_FLOOR = 1e-30
# Rounded kernels differ by the roundings of both; twice that power is no longer rounding alone.
_KERNEL_MARGIN_DB = 3.0
_PLUMBING = {"QUANTIZE", "DEQUANTIZE", "QuantizeLinear", "DequantizeLinear", "Cast", "CAST", "Identity", "input"}
# What finishes a layer's product.
_FINISHING = {"Relu", "Clip", "Add", "Mul", "Softmax", "Sigmoid", "Tanh", "LeakyRelu", "Elu", "HardSwish", "Gelu"}
_FINISHING |= {"RELU", "RELU6", "ADD", "MUL", "SOFTMAX", "LOGISTIC", "TANH", "LEAKY_RELU", "ELU", "HARD_SWISH", "GELU"}


class File(NamedTuple):
    """One of the two: its format, what its layers made, and where the values are."""

    format: str
    layers: list[LayerOutput]
    folder: Path

    def values(self, layer: LayerOutput) -> np.ndarray:
        """Values float32 [n, …] of a layer."""
        return np.asarray(np.load(self.folder / str(layer.file), allow_pickle=False))


Pairs = list[tuple["LayerOutput", "LayerOutput"]]


def compare(a: File, b: File) -> Layers:
    """Hold the layers of two files side by side, in A's order.

    Args:
        a: The reference.
        b: The other.
    """
    pairs, matched_by = _matched(a, b)
    inner = [pair for pair in pairs if pair[0].kind != "input"]
    images = len(a.values(a.layers[0])) if a.layers else 0
    if not matched_by or len(inner) < 2:
        why = (
            "the names and shapes of their tensors do not tell which belong together, as in files of one network from "
            "one tool; the first layer where they part cannot be told"
        )
        return Layers(images, None, [], None, None, why)
    rows = _judged(pairs, a, b)
    first = next((position for position, row in enumerate(rows) if row.parts), None)
    return Layers(images, matched_by, rows, first, None if first is None else _reason(rows, first), None)


def _matched(a: File, b: File) -> tuple[Pairs, str | None]:
    """Pairs of tensors that stand for the same, the inputs first, and by what they were matched."""
    if not a.layers or not b.layers:
        return [], None
    ends: Pairs = [(a.layers[0], b.layers[0])]
    if a.format == b.format:
        found = _by_name(a, b)
        if _enough(found, a, b):
            return ends + _with_last(found, a, b), "tensor names"
        found = _by_order(a, b)
        if found:
            return ends + found, "order: the two have the same operators and shapes"
    found = _by_layer(a, b)
    return (ends + _with_last(found, a, b), "layer names") if found else (ends, None)


def _with_last(found: Pairs, a: File, b: File) -> Pairs:
    """The models' own outputs belong together whatever they are called."""
    last = (_captured(a)[-1], _captured(b)[-1])
    matched = {id(layer) for pair in found for layer in pair}
    return found if {id(last[0]), id(last[1])} & matched or not _fitting(a, last[0], b, last[1]) else [*found, last]


def _captured(file: File) -> list[LayerOutput]:
    return [layer for layer in file.layers if layer.file and layer.kind not in _PLUMBING]


def _enough(found: Pairs, a: File, b: File) -> bool:
    """Whether most of the shorter file's tensors are matched."""
    return 2 * len(found) >= max(2, min(len(_captured(a)), len(_captured(b))))


def _fitting(a: File, one: LayerOutput, b: File, other: LayerOutput) -> bool:
    return _size(a, one) == _size(b, other)


def _size(file: File, layer: LayerOutput) -> int:
    return math.prod(np.load(file.folder / str(layer.file), mmap_mode="r", allow_pickle=False).shape[1:])


def _by_name(a: File, b: File) -> Pairs:
    others = {layer.name: layer for layer in _captured(b)}
    return [
        (one, others[one.name]) for one in _captured(a) if one.name in others and _fitting(a, one, b, others[one.name])
    ]


def _by_order(a: File, b: File) -> Pairs:
    first, second = _captured(a), _captured(b)
    if [layer.kind for layer in first] != [layer.kind for layer in second]:
        return []
    pairs = list(zip(first, second, strict=True))
    return pairs if all(_fitting(a, one, b, other) for one, other in pairs) else []


def _by_layer(a: File, b: File) -> Pairs:
    """By the layer's name in the tensors' names: the last tensor of each layer is its result."""
    results = []
    for file in (a, b):
        last: dict[str, LayerOutput] = {}
        keys: dict[str, str] = {}
        captured = {id(layer) for layer in _captured(file)}
        for layer in file.layers:
            key = layer_name(layer.name, file.format)
            if not key and len(layer.inputs) == 1 and layer.kind in _FINISHING | _PLUMBING:
                # An activation or a bias that a converter gave a name of its own.
                key = keys.get(layer.inputs[0], "")
            keys[layer.name] = key
            if key and id(layer) in captured:
                last[key] = layer
        results.append(last)
    first, second = results
    return [
        (layer, second[key]) for key, layer in first.items() if key in second and _fitting(a, layer, b, second[key])
    ]


def layer_name(tensor: str, file_format: str) -> str:
    """The layer in a tensor's name: ``conv_1`` of ``lenet5/conv_1/Relu;lenet5/conv_1/BiasAdd``; empty without one."""
    if file_format == "keras":
        return tensor
    parts = [part for part in tensor.partition(";")[0].partition(":")[0].split("/") if part]
    parts = [part for part in parts if part != "StatefulPartitionedCall"]
    return parts[-2] if len(parts) > 1 else ""


def _judged(pairs: Pairs, a: File, b: File) -> list[LayerDifference]:
    """A row per pair, in A's order."""
    graphs = [{layer.name: layer for layer in file.layers} for file in (a, b)]
    matched = [{pair[side].name for pair in pairs} for side in (0, 1)]
    noise: dict[str, float] = {}
    rows = []
    for one, other in pairs:
        reference = a.values(one)
        seen = _noise(reference, b.values(other), layouts="onnx" in {a.format, b.format})
        noise[one.name] = seen
        if one.kind == "input" and seen <= _FLOOR:
            continue
        before, own = _segment(graphs[0], one, matched[0])
        _, theirs = _segment(graphs[1], other, matched[1])
        expected = sum(noise.get(name, 0.0) for name in before)
        expected += sum(layer.rounding for layer in (*own, *theirs))
        squash = next((layer.squash for layer in (one, other) if layer.squash), None)
        if squash:
            # Rounded outputs of the squashing itself are not magnified by it.
            rounded = one.rounding + other.rounding
            expected = (expected - rounded) * max(1.0, _magnified(reference, squash)) + rounded
        explained = _decibels(expected)
        limit = min(explained, _ALIKE_DB) - MARGIN_DB
        kernel_db, kernels = _kernels(own, theirs, a, b)
        rows.append(
            LayerDifference(
                name=_shown(one, other, a, b),
                kind_a=one.kind,
                kind_b=other.kind,
                snr_db=None if seen <= _FLOOR else _decibels(seen),
                explained_db=explained,
                limit_db=limit,
                parts=kernels == "different" or (seen > _FLOOR and _decibels(seen) < limit),
                kernel_db=kernel_db,
                kernels=kernels,
            )
        )
    return rows


def _segment(
    graph: dict[str, LayerOutput], layer: LayerOutput, matched: set[str]
) -> tuple[set[str], list[LayerOutput]]:
    """What lies between a tensor and the matched ones before it: their names, and the operators on the way."""
    before: set[str] = set()
    passed = [layer]
    waiting = list(layer.inputs)
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in matched:
            before.add(name)
        elif name in graph:
            passed.append(graph[name])
            waiting += graph[name].inputs
    return before, passed


def _noise(reference: np.ndarray, other: np.ndarray, *, layouts: bool) -> float:
    """Power of the difference over that of the reference; NaN and infinity count as all noise.

    Args:
        reference: [n, …].
        other: As many values; channels may be another axis where ``layouts`` says so.
        layouts: One has channels first and the other last.
    """
    count = min(len(reference), len(other))
    reference, other = reference[:count].astype(np.float64), other[:count].astype(np.float64)
    candidates = [other]
    if layouts and other.ndim > 2:
        candidates = [np.moveaxis(other, 1, -1), np.moveaxis(other, -1, 1), other]
        candidates = [one for one in candidates if one.shape == reference.shape] or [other]
    power = float((reference**2).mean()) if reference.size else 0.0
    found = []
    for one in candidates:
        difference = one.reshape(reference.shape) - reference
        found.append(float((difference**2).mean()) if difference.size else 0.0)
    least = min(found)
    if not math.isfinite(least) or not math.isfinite(power):
        return math.inf
    if power <= _FLOOR:
        return 0.0 if least <= _FLOOR else math.inf
    return least / power


def _magnified(values: np.ndarray, squash: str) -> float:
    """How much a softmax or sigmoid magnifies relative noise: the mean square of what it was given.

    A probability's relative error is its logit's absolute one, and the noise share counts relative to the logits'
    power. Logits are found back from the probabilities.
    """
    bounded = np.clip(values.astype(np.float64), 1e-4, 1 - 1e-4)
    if squash == "sigmoid":
        logits = np.log(bounded / (1 - bounded))
    else:
        logits = np.log(bounded)
        logits = logits - logits.mean(axis=-1, keepdims=True)
    return float((logits**2).mean())


def _decibels(noise: float) -> float:
    if noise <= 0:
        return 300.0
    return -math.inf if math.isinf(noise) else -10 * math.log10(noise)


def _kernels(own: Sequence[LayerOutput], theirs: Sequence[LayerOutput], a: File, b: File) -> tuple[float | None, str]:
    """Whether the kernels on the way are the same, for files of one format (others order their axes otherwise)."""
    pairs = list(zip([one for one in own if one.kernel], [one for one in theirs if one.kernel], strict=False))
    if a.format != b.format or not pairs:
        return None, "not compared"
    worst, verdict = 0.0, "equal"
    for one, other in pairs:
        values = [
            np.load(file.folder / str(layer.kernel), allow_pickle=False) for file, layer in ((a, one), (b, other))
        ]
        if values[0].shape != values[1].shape:
            return None, "not compared"
        seen = _noise(values[0][None], values[1][None], layouts=False)
        if seen > worst:
            worst = seen
            explained = one.kernel_rounding + other.kernel_rounding
            within = explained > 0 and _decibels(seen) >= _decibels(explained) - _KERNEL_MARGIN_DB
            verdict = "within rounding" if within else "different"
    return (None if worst <= _FLOOR else _decibels(worst)), verdict


def _shown(one: LayerOutput, other: LayerOutput, a: File, b: File) -> str:
    return layer_name(one.name, a.format) or layer_name(other.name, b.format) or one.name


def _reason(rows: Sequence[LayerDifference], first: int) -> str:
    """Why a row parts, in words."""
    row = rows[first]
    if row.kind_a == "input":
        return (
            f"what the two see of the same images is {_db_words(row)} alike: the scale of an integer input does not "
            "fit these data, see --scale, --mean, --std, or calibrate it on such data"
        )
    words = f"{_db_words(row)}, where its inputs and both files' precision explain {row.explained_db:.0f} dB"
    if row.kernels == "different":
        alike = "nothing" if row.kernel_db is None or math.isinf(row.kernel_db) else f"{row.kernel_db:.1f} dB"
        return f"its kernel is another one: {alike} alike, beyond rounding; its output is {words}"
    if row.kernels in {"equal", "within rounding"}:
        same = "the same" if row.kernels == "equal" else "the same within rounding"
        return f"{words}; its kernel is {same}: look at its bias and at the range that its output is clipped to"
    return words


def _db_words(row: LayerDifference) -> str:
    return "no signal in common" if row.snr_db is None or math.isinf(row.snr_db) else f"{row.snr_db:.1f} dB"
