"""What a training's record says in words and rows, for the screen, train.md and train.html alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.report import method, wording

if TYPE_CHECKING:
    from optkit.report.train_record import CurvePoint, TrainReport


def tested(report: TrainReport) -> tuple[str, str, str]:
    """(name, figure, doubt) of the figure on the test part that counts."""
    accuracy, errors = report.accuracy, report.errors
    if accuracy is not None:
        doubt = f"{wording.percent_interval(accuracy.ci95)}, {accuracy.correct:,} of {accuracy.total:,}"
        return "Test accuracy", wording.percent(accuracy.top1), doubt
    if errors is not None:
        doubt = f"{wording.value_interval(errors)}, {errors.total:,} examples"
        return "Test mean absolute error", wording.value(errors.mae), doubt
    return "Test accuracy", wording.MISSING, "not judged"


def validated(report: TrainReport) -> str:
    """The same figure on the whole validation part."""
    accuracy, errors = report.accuracy_validation, report.errors_validation
    if accuracy is not None:
        return f"{wording.percent(accuracy.correct / accuracy.total)}, {accuracy.correct:,} of {accuracy.total:,}"
    if errors is not None:
        return f"{wording.value(errors.mae)} mean absolute error, {errors.total:,} examples"
    return wording.MISSING


def figures(report: TrainReport) -> list[tuple[str, str]]:
    """Further figures on the test part."""
    found: list[tuple[str, str]] = []
    if report.errors is not None:
        found += [
            ("Mean squared error", wording.value(report.errors.rmse**2)),
            ("Root of it", wording.value(report.errors.rmse)),
        ]
    for name, words in (("median_absolute_error", "Median absolute error"), ("r2", "R²")):
        if report.metrics.get(name) is not None:
            found.append((words, wording.value(report.metrics[name])))
    keras = report.metrics.get("keras", {}).get("test", {})
    for name, value in keras.get("values", {}).items():
        shown = ", ".join(wording.value(one) for one in value) if isinstance(value, list) else wording.value(value)
        found.append((name, shown))
    found += [(name, f"not judged: {reason}") for name, reason in keras.get("not_judged", {}).items()]
    return found


def data(report: TrainReport) -> list[tuple[str, str]]:
    """What it was trained and judged on."""
    facts = report.data
    given = [] if facts.preprocessing is None else [("Values", method.preprocessing(facts.preprocessing))]
    return [
        ("Data", facts.name),
        ("Examples", f"{facts.train or 0:,} training, {facts.validation or 0:,} validation, {facts.test:,} test"),
        ("Looked at after each epoch", f"the first {report.curve_examples:,} validation examples"),
        *given,
    ]


def knobs(report: TrainReport) -> list[tuple[str, str]]:
    """Every knob of network and training that is not off, by the name of its option."""
    found = [("layers", ", ".join(report.network["layers"]))]
    both = {**report.network, **report.plan, **report.plan["augmentation"]}
    for name, value in both.items():
        if name in {"layers", "augmentation", "input_shape"} or value in (None, 0, 0.0, False):
            continue
        if name == "dropout_after" and not report.network["dropout"]:
            continue
        if name.startswith("plateau_") and report.plan["schedule"] != "plateau":
            continue
        found.append((name.replace("_", "-"), f"{value:g}" if isinstance(value, float) else str(value)))
    return [*found, ("seed", str(report.settings.get("seed", 0)))]


def epochs(report: TrainReport) -> list[tuple[str, ...]]:
    """A row for each epoch: its number, losses, accuracies, learning rate, seconds."""
    return [
        (
            str(point.epoch),
            loss(point.loss),
            loss(point.validation_loss),
            wording.percent(point.accuracy),
            wording.percent(point.validation_accuracy),
            wording.MISSING if point.learning_rate is None else f"{point.learning_rate:.3g}",
            f"{point.seconds:.1f}",
        )
        for point in report.curve
    ]


EPOCH_HEADS = (
    "epoch",
    "loss",
    "validation loss",
    "accuracy",
    "validation accuracy",
    "learning rate",
    "seconds",
)


def loss(value: float | None) -> str:
    """A loss; one that was no number is said so."""
    return "no number" if value is None else wording.value(value)


def summary_rows(report: TrainReport) -> list[tuple[str, str, str, str, str]]:
    """(layer, kind, output shape, parameters, multiply-accumulates) of each layer."""
    return [
        (
            layer.name,
            f"{layer.kind}{f' ({layer.activation})' if layer.activation else ''}",
            "×".join(str(axis) for axis in layer.output_shape),
            wording.count(layer.parameters),
            wording.count(layer.macs),
        )
        for layer in report.summary.layers
    ]


def duration(curve: list[CurvePoint]) -> str:
    """How long the epochs took."""
    seconds = sum(point.seconds for point in curve)
    plural = "s" if len(curve) != 1 else ""
    took = f"{seconds / 60:,.1f} min" if seconds >= 600 else f"{seconds:,.1f} s"
    return f"{len(curve)} epoch{plural}, {took}"


def class_name(report: TrainReport, label: int) -> str:
    """Name of a class, or its number."""
    return wording.class_name(report.data.class_names, label)
