"""train.html: one file without any request and without a script, drawn from the record alone."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from optkit.report import chart_training, train_words, wording
from optkit.report.page import source
from optkit.report.page_classes import confusion

if TYPE_CHECKING:
    from optkit.report.train_record import TrainReport

_TEMPLATE = "train_page.html.j2"
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
# Bars of F1 begin at a round figure below the weakest class, so that good classes can be told apart.
_BAR_STEP = 0.1


def render(report: TrainReport) -> str:
    """The whole page, with styles, charts and pictures inside; its own policy forbids requests and scripts."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("optkit.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text: str = environment.get_template(_TEMPLATE).render(**_context(report))
    return text


def _context(report: TrainReport) -> dict[str, Any]:
    """Everything that the template names."""
    judged = [one for one in report.classes if one.f1 is not None]
    weakest = min(judged, key=lambda one: one.f1 or 0.0, default=None)
    bar_from = 0.0 if weakest is None else max(0.0, math.floor((weakest.f1 or 0.0) / _BAR_STEP - 0.5) * _BAR_STEP)
    return {
        "report": report,
        "source": source,
        "count": wording.count,
        "missing": wording.MISSING,
        "name": lambda label: train_words.class_name(report, label),
        "faults": [finding for finding in report.diagnosis.findings if finding.is_fault],
        "tiles": _tiles(report),
        "panels": chart_training.panels(report),
        "curve_doubt": _curve_doubt(report),
        "epoch_heads": train_words.EPOCH_HEADS,
        "epochs": train_words.epochs(report),
        "matrix": None if report.accuracy is None else confusion(report.accuracy.confusion),
        "weakest": None if weakest is None else weakest.label,
        "bar_from": bar_from,
        "bar": lambda f1: 100 * max(0.0, ((f1 or 0.0) - bar_from) / (1 - bar_from)),
        "probability": _probability,
        "shown": lambda data: bool(data) and _BASE64.fullmatch(data) is not None,
        "figures": train_words.figures(report),
        "layers": train_words.summary_rows(report),
        "knobs": train_words.knobs(report),
        "data": train_words.data(report),
        "environment": _environment(report),
    }


def _probability(value: float | None) -> str:
    """Not 100 % where it is only near: no network is that sure."""
    if value is None:
        return ""
    return ">99 %" if value > 0.99 else f"{100 * value:.0f} %"


def _tiles(report: TrainReport) -> list[tuple[str, str, str]]:
    """(title, figure, words)."""
    summary, plan = report.summary, report.plan
    name, figure, doubt = train_words.tested(report)
    validated, _, of = train_words.validated(report).partition(", ")
    rate = f"{plan['optimizer']}, rate {plan['learning_rate']:g}, batch {plan['batch']}"
    return [
        (name, figure, doubt),
        ("On all validation examples", validated, of),
        ("Parameters", wording.count(summary.parameters), f"{wording.count(summary.macs)} multiply-accumulates"),
        ("Training", train_words.duration(report.curve), rate),
    ]


def _curve_doubt(report: TrainReport) -> str:
    """How far the sample alone moves a validation accuracy."""
    last = report.curve[-1].validation_accuracy
    if last is None or not report.curve_examples:
        return ""
    half = 1.96 * math.sqrt(max(last * (1 - last), 1 / report.curve_examples) / report.curve_examples)
    return f"That sample alone moves a validation accuracy by ±{100 * half:.1f} points (95 %)."


def _environment(report: TrainReport) -> list[tuple[str, str]]:
    machine = report.environment
    wanted = ("tensorflow", "tf-keras", "keras", "numpy")
    packages = ", ".join(f"{name} {machine.packages[name]}" for name in wanted if name in machine.packages)
    return [
        ("Processor", f"{machine.cpu_model}, {machine.cores} core{'s' if machine.cores != 1 else ''}"),
        ("Memory", wording.mebibytes(machine.memory_bytes)),
        ("System", machine.os),
        ("Python", machine.python),
        ("Packages", packages),
        ("optkit", report.optkit_version),
    ]
