"""How a picture's values become what a model takes: declared, noted beside the file, found in it, or assumed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from optkit import store
from optkit.problem import Preprocessing, Task

if TYPE_CHECKING:
    from pathlib import Path

    from optkit.pipeline.confidence import Meaning
    from optkit.readback import ModelFacts, Operator, Port

MANIFEST = "manifest.json"
_LARGEST_MANIFEST = 16 * 2**20
_SCALED = Preprocessing(scale=1 / 255)
_SIGNED = Preprocessing(scale=1 / 127.5, mean=(1.0,))
_AS_THEY_ARE = Preprocessing()
_CODES = {"uint8": (0, 255), "int8": (-128, 127), "int16": (-32768, 32767)}
# A first factor below this, or a divisor above its reciprocal, brings 0 to 255 to about 1 and nothing else does.
_RESCALING = 0.05
_ARRANGING = {"RESHAPE", "TRANSPOSE", "QUANTIZE", "DEQUANTIZE", "CAST", "EXPAND_DIMS", "SQUEEZE", "PAD"}
_ARRANGING |= {"Reshape", "Transpose", "QuantizeLinear", "DequantizeLinear", "Cast", "Unsqueeze", "Squeeze", "Pad"}
_KERAS_INPUTS = {"InputLayer"}
_KERAS_RESCALING = {"Rescaling", "Normalization"}


class Noted(NamedTuple):
    """What the manifest of a run says about one of its files; ``None`` and empty where it says nothing."""

    preprocessing: Preprocessing | None
    class_names: tuple[str, ...]
    task: Task | None
    notes: list[str]


class Found(NamedTuple):
    """A preprocessing, where it comes from in words, and whether it is no more than a guess."""

    preprocessing: Preprocessing
    source: str
    guessed: bool = False


def noted(path: Path) -> Noted:
    """What a run folder's manifest says about a file: the one beside it, or beside its ``artifacts`` folder.

    Args:
        path: The model file.
    """
    nothing = Noted(None, (), None, [])
    for folder in dict.fromkeys((path.absolute().parent, path.absolute().parent.parent)):
        manifest = folder / MANIFEST
        try:
            if not manifest.is_file() or manifest.stat().st_size > _LARGEST_MANIFEST:
                continue
            content = json.loads(manifest.read_bytes())
            digest = content["files"].get(path.absolute().relative_to(folder).as_posix())
            if digest is None:
                continue
            noted_preprocessing = content.get("preprocessing")
            names = content.get("class_names") or ()
            task = content.get("task")
            preprocessing = None if noted_preprocessing is None else msgspec.convert(noted_preprocessing, Preprocessing)
            changed = digest != store.sha256_file(path)
            notes = [f"the file is not the one that {manifest} describes: it was changed since"] if changed else []
            return Noted(
                preprocessing,
                tuple(map(str, names)),
                None if task is None else msgspec.convert(task, Task),
                notes,
            )
        except (
            OSError,
            ValueError,
            KeyError,
            AttributeError,
            TypeError,
            RecursionError,
            msgspec.MsgspecError,
        ) as error:
            reason = " ".join(str(error).split())[:100]
            return nothing._replace(notes=[f"{manifest} is there but cannot be used ({reason})"])
    return nothing


def found_in(facts: ModelFacts | None, port: Port) -> Found:
    """What a file itself tells.

    Args:
        facts: What the file says, as far as it can be read.
        port: The model's input, as its runtime gives it.

    Returns:
        Raw values where its own first layer rescales them, what an integer input's scale stands for, or 0 to 1 as a
        guess.
    """
    if facts is not None and _rescales(facts):
        return Found(_AS_THEY_ARE, "0 to 255, which the model's own first layer rescales")
    given = facts.inputs[0] if facts is not None and facts.inputs else port
    if given.scale is not None and given.dtype in _CODES:
        return _by_scale(given, given.scale)
    if given.dtype == "uint8":
        return Found(_AS_THEY_ARE, "0 to 255, since the input is uint8 without a scale")
    return Found(_SCALED, "0 to 1, since nothing says otherwise (else see --scale, --mean, --std)", guessed=True)


def _by_scale(port: Port, scale: float) -> Found:
    """What the range of an integer input stands for."""
    low, high = (scale * (code - (port.zero_point or 0)) for code in _CODES[port.dtype])
    if high > 100:
        return Found(_AS_THEY_ARE, f"0 to 255, since the input's scale reaches to {high:.4g}")
    if abs(low) < 0.05 and 0.9 < high < 1.1:
        return Found(_SCALED, "0 to 1, the range of the input's scale and zero point")
    if -1.1 < low < -0.9 and 0.9 < high < 1.1:
        return Found(_SIGNED, "-1 to 1, the range of the input's scale and zero point")
    words = f"0 to 1, a guess: the input's scale covers {low:.3g} to {high:.3g}; see --scale, --mean, --std"
    return Found(_SCALED, words, guessed=True)


def _rescales(facts: ModelFacts) -> bool:
    if facts.format in {"keras", "h5"}:
        first = next((one for one in facts.operators if one.kind not in _KERAS_INPUTS), None)
        return first is not None and first.kind in _KERAS_RESCALING
    values = {constant.name: constant for constant in facts.constants}
    flowing = {port.name for port in facts.inputs}
    for operator in facts.operators:
        if not any(port.name in flowing for port in operator.inputs):
            continue
        if operator.kind in _ARRANGING:
            flowing = {port.name for port in operator.outputs}
            continue
        factor = _factor(operator, values)
        return factor is not None and abs(factor) < _RESCALING
    return False


def _factor(operator: Operator, values: dict[str, Any]) -> float | None:
    """What an operator multiplies with, largest over its channels; ``None`` when it does not."""
    kind = operator.kind.upper()
    if kind not in {"MUL", "DIV"}:
        return None
    for port in operator.inputs:
        constant = values.get(port.name)
        if constant is None or not constant.values.size or constant.values.dtype.kind not in "uif":
            continue
        scale = constant.scales[0] if constant.scales else 1.0
        zero = constant.zero_points[0] if constant.zero_points else 0
        largest = float(abs(scale * (constant.values.astype(float) - zero)).max())
        return largest if kind == "MUL" else 1 / largest if largest else None
    return None


def meaning_of(task: Task | None) -> Meaning | None:
    """What a manifest's task says about outputs."""
    return None if task is None else task.outputs
