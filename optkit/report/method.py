"""What the figures come from, in sentences: the data, why measuring ended, what the runtime made of a file."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from optkit.report import wording

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.problem import Preprocessing, Task
    from optkit.schema import DataFacts, Report, RuntimeFacts, Stopping, Variant

GENERATED = "No data were given: files were timed on generated inputs, and nothing is said about accuracy."


def split(data: DataFacts) -> str:
    """How many images each part has: ``55,000 train, 5,000 validation, 10,000 test``; parts not used are left out."""
    parts = (("train", data.train), ("validation", data.validation), ("test", data.test))
    return ", ".join(f"{number:,} {name}" for name, number in parts if number is not None)


def preprocessing(given: Preprocessing) -> str:
    """How raw values become inputs: ``raw values / 255``, ``(raw values / 255 - 0.5) / 0.25, resized to 32×32``."""
    words = "raw values"
    if given.scale != 1:
        whole = round(1 / given.scale) if 0 < abs(given.scale) < 1 else 0
        exact = whole and math.isclose(whole * given.scale, 1, rel_tol=1e-9)
        words += f" / {whole}" if exact else f" × {given.scale:g}"
    if given.mean:
        words += f" - {_per_channel(given.mean)}"
    if given.std:
        words = f"({words}) / {_per_channel(given.std)}" if given.mean else f"{words} / {_per_channel(given.std)}"
    words = "raw values as they are" if words == "raw values" else words
    if given.resize is not None:
        words += f", resized to {given.resize[0]}×{given.resize[1]}"
    return words if given.channels == "as they are" else f"{words}, {given.channels}"


def _per_channel(numbers: Sequence[float]) -> str:
    shown = ", ".join(f"{number:g}" for number in numbers)
    return shown if len(numbers) == 1 else f"[{shown}]"


def outputs(task: Task | None) -> list[str]:
    """What the model's outputs stand for, where that is not one probability for each of several classes."""
    if task is None or (task.kind, task.outputs) == ("multiclass", "probabilities"):
        return []
    if task.kind == "multiclass":
        logits = "a logit for each class, the largest is the answer"
        return [logits if task.outputs == "logits" else "a probability of its own for each class, the largest counts"]
    if task.kind == "binary":
        return ["one logit, class 1 over 0" if task.outputs == "logits" else "one probability, class 1 over one half"]
    return ["one value, which is the answer"]


def ended(stopping: Stopping) -> str:
    """Why measuring a format's files ended, in one clause with the width that was reached.

    ``measured in 5 processes until every interval was within ±2 %`` or ``time was up after 60 s: the widest interval
    is ±4 %``.
    """
    processes = f"{stopping.processes} process{'' if stopping.processes == 1 else 'es'}"
    reached, wanted = _width(stopping.reached_width), _width(stopping.wanted_width)
    widest = f"the widest interval is {reached}" if reached else "there was nothing to compare"
    if stopping.reason == "narrow enough":
        limit = f"every interval was within {wanted}" if wanted and reached else "there was nothing left to compare"
        return f"measured in {processes} until {limit}"
    if stopping.reason == "time is up":
        aim = f" where {wanted} was wanted" if wanted and reached else ""
        return f"time was up after {stopping.seconds:,.0f} s: {widest}{aim} ({processes})"
    return f"measured in {processes}, as many as were asked for: {widest}"


def _width(width: float | None) -> str:
    """A relative half width as ``±2 %``, with two digits."""
    if width is None:
        return ""
    return f"±{100 * width:.2g} %" if width < 0.1 else f"±{100 * width:.0f} %"


def optimized(facts: RuntimeFacts) -> str:
    """What the runtime made of a file's nodes, in one clause."""
    nodes = f"{facts.nodes:,} node{'' if facts.nodes == 1 else 's'}"
    parts = [nodes]
    if facts.delegated_nodes is not None:
        parts.append(f"{facts.delegated_nodes:,} taken by XNNPACK")
    if facts.nodes_after_optimization is not None:
        parts.append(f"{facts.nodes_after_optimization:,} left after optimization")
    return ", ".join(parts)


def runtime_rows(variants: Sequence[Variant]) -> list[tuple[str, str, str, str, str]]:
    """(file, runtime, least version that opens it, optimization, nodes) of each file where that is known."""
    return [
        (
            wording.file_name(variant.name, variant.format),
            variant.runtime,
            facts.least_version or wording.MISSING,
            facts.optimization,
            optimized(facts),
        )
        for variant in variants
        if (facts := variant.runtime_facts) is not None
    ]


def seed(report: Report) -> str:
    """The seed, or where it stands: older report.json files have no field for it."""
    if report.seed is not None:
        return str(report.seed)
    if "--seed" in report.command:
        return "in the command below"
    if any(variant.recipe is not None for variant in report.variants):
        return "in recipe.toml and manifest.json beside this report"
    return "nothing was trained"


def doubts(report: Report) -> dict[str, int]:
    """Sentences that make a file's times less sure than they look, numbered from 1 in the order of the files."""
    sentences = [doubt for variant in report.variants for doubt in variant_doubts(variant)]
    return {sentence: number for number, sentence in enumerate(dict.fromkeys(sentences), start=1)}


def variant_doubts(variant: Variant) -> list[str]:
    """The doubts about one file's times."""
    return [] if variant.latency is None else variant.latency.doubts


def doubt_mark(variant: Variant, numbers: dict[str, int]) -> str:
    """``?1`` or ``?1,2`` to stand beside a time; empty where there is no doubt."""
    found = sorted({numbers[doubt] for doubt in variant_doubts(variant)})
    return f"?{','.join(map(str, found))}" if found else ""
