"""What holds for every ONNX file that is shipped: valid, one file, float32 in and out, any batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.errors import InputError
from optkit.schema import Check

if TYPE_CHECKING:
    from pathlib import Path

    from optkit.readback import ModelFacts

# Endings that exporters give to the file beside the file: torch, onnx.save_model and onnxruntime.
_SIDECARS = (".data", "_data", ".bin")

# Nodes that multiply integers in ONNX Runtime.
_INTEGER = frozenset({"ConvInteger", "MatMulInteger", "QGemm", "QLinearConv", "QLinearMatMul"})


def checks(path: Path, facts: ModelFacts) -> list[Check]:
    """Check an ONNX file.

    Args:
        path: The file.
        facts: What is in it.
    """
    return [_valid(path), _one_file(path, facts), _dynamic_batch(facts)]


def float_kept(path: Path, layers: tuple[str, ...]) -> list[Check]:
    """Whether layers that are float in the file are so when ONNX Runtime has opened it, which rounds some by itself.

    Args:
        path: The file.
        layers: Names of layers that were left in float; no check is made of none.
    """
    from optkit.runtimes import onnxruntime

    if not layers:
        return []
    try:
        nodes = onnxruntime.optimized_nodes(path)
    except InputError:
        # That it cannot be opened is a failed check of its own.
        return []
    rounded = [f"{name} ({kind})" for kind, name in nodes if kind in _INTEGER and set(name.split("/")) & set(layers)]
    return [
        Check(
            "layers in float run in float",
            passed=not rounded,
            observed=", ".join(rounded) or "none on integers",
            limit="none on integers",
            unit="",
            reason="ONNX Runtime rounds a float kernel between quantized activations when it opens a file",
        )
    ]


def _valid(path: Path) -> Check:
    import onnx

    try:
        onnx.checker.check_model(str(path), full_check=True)
    except Exception as error:  # noqa: BLE001 - shape inference and protobuf raise too; each is the answer.
        return Check("valid for the ONNX checker", passed=False, observed=_line(error), limit="valid", unit="")
    return Check("valid for the ONNX checker", passed=True, observed="valid", limit="valid", unit="")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _one_file(path: Path, facts: ModelFacts) -> Check:
    beside = [path.name + ending for ending in _SIDECARS if (path.parent / (path.name + ending)).exists()]
    others = sorted({*facts.external_files, *beside})
    return Check(
        "one file",
        passed=not others,
        observed=", ".join(others) or "no other",
        limit="no other",
        unit="",
        reason="a file that is copied alone must run",
    )


def _dynamic_batch(facts: ModelFacts) -> Check:
    batches = [port.shape[0] if port.shape else 0 for port in (*facts.inputs, *facts.outputs)]
    return Check(
        "dynamic batch",
        passed=all(batch == -1 for batch in batches),
        observed=", ".join("dynamic" if batch == -1 else str(batch) for batch in batches),
        limit="dynamic",
        unit="",
        reason="one file serves single images and batches",
    )
