"""Proves a file right: it opens in its runtime, answers as its Keras variant does, and is what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from optkit import readback, registry, runtimes
from optkit.errors import InputError
from optkit.schema import Check, KernelExpectation, Parity

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from optkit.problem import Task
    from optkit.readback import ModelFacts
    from optkit.verify.parity import Limits

# Of 1,000 images, at least one shows a fault that one image in 200 has, with 99.3 % probability. Where there are
# fewer, all of them are looked at, and the check says what they can show.
LEAST_IMAGES = 1000
RARE_FAULT = 1 / 200

Names = tuple[str, ...]


class Verification(Struct, frozen=True):
    """What was looked at in one file. ``parity`` is ``None`` where the file gave no numbers to compare."""

    parity: Parity | None
    checks: list[Check]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)


def verify_file(
    path: Path,
    *,
    images: np.ndarray,
    reference: np.ndarray,
    precision: str,
    integer_io: str | None,
    task: Task | None = None,
    available: int | None = None,
    expectations: tuple[KernelExpectation, ...] = (),
    quantization_aware: bool = False,
    source_ports: tuple[Names, Names] | None = None,
    float_layers: Names = (),
    excluded_layers: Names = (),
    narrow_layers: Names | None = None,
) -> Verification:
    """Verify an exported file.

    A defect of the file, up to one that its runtime refuses, is a failed check and no exception.

    Args:
        path: The ``.tflite`` or ``.onnx`` file.
        images: Validation images float32 [n, …] as the source model takes them: the first 1,000, or all where there
            are fewer.
        reference: The Keras variant's outputs on them, float32 [n, outputs]; after quantization-aware
            training those of the model with fake quantization.
        precision: ``fp32``, ``fp16``, ``dynamic``, ``int8``, ``int16x8`` or ``int4``.
        integer_io: Type of input and output that was asked for (``int8``, ``uint8``, ``int16``); ``None`` or
            ``float`` for float32, which ONNX files always have.
        task: What the outputs stand for; a class for each output when ``None``.
        available: Validation images that there are; at least 1,000, or all of them, must be given. As many as were
            given when ``None``.
        expectations: What techniques promise about kernels, in layer order.
        quantization_aware: Whether the reference already has the quantization in it, so that less may differ.
        source_ports: Names of the source model's inputs and outputs, which the file must keep, if known.
        float_layers: Layers that were left out of quantization on purpose.
        excluded_layers: Those of them that have a kernel for sure, which must be in float.
        narrow_layers: Of an int4 file, the layers that must have 4 bits; ``None`` for convolutions and dense layers.

    Raises:
        InputError: No runtime handles the suffix.
    """
    from optkit.verify import kernels, onnx_rules, structure
    from optkit.verify.parity import limits_for

    file_format = registry.format_of(path)
    registry.by_format("runtimes", file_format)
    facts: ModelFacts | None = None
    unread = []
    try:
        facts = readback.read(path)
    except InputError as error:
        unread.append(Check("can be read back", passed=False, observed=str(error), limit=None, unit=""))
    stored = 0 if facts is None else sum(constant.role == "weight" for constant in facts.constants)
    parity, checks = _behaviour(
        path,
        images,
        reference,
        limits=limits_for(precision, quantization_aware=quantization_aware, kernels=stored),
        task=task,
        available=len(images) if available is None else available,
    )
    if facts is None:
        return Verification(parity, checks + unread)
    wanted_io = integer_io if integer_io and integer_io != "float" and file_format != "onnx" else "float32"
    checks += structure.checks(
        facts, precision=precision, io_type=wanted_io, float_layers=float_layers, narrow_layers=narrow_layers
    )
    checks += structure.excluded(facts, excluded_layers)
    if source_ports is not None:
        checks.append(structure.names_kept(facts, source_ports))
    checks += kernels.checks(facts, expectations)
    if file_format == "onnx":
        checks += onnx_rules.checks(path, facts)
        checks += onnx_rules.float_kept(path, float_layers)
    return Verification(parity, checks)


def _behaviour(
    path: Path, images: np.ndarray, reference: np.ndarray, *, limits: Limits, task: Task | None, available: int
) -> tuple[Parity | None, list[Check]]:
    """Run the file on the images, one by one as on a device, and judge its answers."""
    from optkit.verify import collapse, input_range, parity

    many = enough_images(len(images), len(reference), available)
    try:
        session = runtimes.open_model(path)
        native = runtimes.predict(session, images)
    except Exception as error:  # noqa: BLE001 - whatever a runtime raises is a finding about the file.
        reason = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        opens = Check("opens in its runtime", passed=False, observed=reason, limit=None, unit="")
        return None, [many, opens]
    opens = Check("opens in its runtime", passed=True, observed="opened and run", limit=None, unit="")
    found, parity_checks = parity.compare(
        session.from_native(native),
        reference,
        limits=limits,
        scale=session.output.scale,
        task=task,
    )
    checks = [
        many,
        opens,
        *_batches(session, images[:3], native.shape[1:]),
        *parity_checks,
        *collapse.checks(native, session.from_native(native), reference, task),
        *input_range.all_checks(images, session.inputs),
    ]
    return found, checks


def enough_images(images: int, references: int, available: int) -> Check:
    """Whether as many images were looked at as show a rare fault, or all that there are.

    Args:
        images: Images that were given.
        references: Outputs of the Keras variant that were given for them.
        available: Images that there are.
    """
    limit = max(1, min(LEAST_IMAGES, available))
    found = min(images, references)
    chance = 100 * (1 - (1 - RARE_FAULT) ** found)
    return Check(
        "enough images",
        passed=found >= limit and images == references,
        observed=found,
        limit=limit,
        unit="images",
        reason=f"of {found:,}, one shows a fault that 1 in 200 has with {chance:.1f} % probability (1 - 0.995^{found})",
    )


def _batches(session: runtimes.Session, images: np.ndarray, shape: tuple[int, ...]) -> list[Check]:
    """A file that declares a dynamic batch takes more than one image at a time."""
    if session.inputs[0].shape[:1] != (-1,):
        return []
    try:
        seen = str(list(runtimes.predict(session, images, batch=len(images)).shape))
    except Exception as error:  # noqa: BLE001 - as above.
        seen = " ".join(str(error).split())
    wanted = str([len(images), *shape])
    return [
        Check(
            f"takes a batch of {len(images)}",
            passed=seen == wanted,
            observed=seen,
            limit=wanted,
            unit="",
            reason="the file declares a dynamic batch; a shape frozen at export breaks it",
        )
    ]
