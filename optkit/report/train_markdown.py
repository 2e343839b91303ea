"""train.md: a training for readers of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.report import train_words, wording
from optkit.report.markdown_text import escaped, table

if TYPE_CHECKING:
    from optkit.report.train_record import TrainReport

# A wider matrix is no longer read as text.
_WIDEST_MATRIX = 16


def render(report: TrainReport) -> str:
    """The whole text."""
    parts = [
        f"# Training of {escaped(report.name)}",
        f"**Diagnosis.** {escaped(report.diagnosis.sentence)}",
        *_findings(report),
        *_listed(report.diagnosis.notes),
        *([f"## Warnings\n\n{_list(report.warnings)}"] if report.warnings else []),
        f"## How good it is\n\n{_figures(report)}",
        f"## Epochs\n\n{table(train_words.EPOCH_HEADS, train_words.epochs(report), numbers_from=0)}",
        *_classes(report),
        *_confused(report),
        f"## Network\n\n{_summary(report)}",
        f"## Settings\n\n{_pairs([*train_words.data(report), *train_words.knobs(report)])}",
        f"## Again\n\n```sh\n{report.again}\n```",
        *([f"## Next\n\n```sh\n{report.compress_command}\n```"] if report.compress_command else []),
        _made_by(report),
    ]
    return "\n\n".join(parts) + "\n"


def _made_by(report: TrainReport) -> str:
    machine = report.environment
    return (
        f"optkit {report.optkit_version}, {report.created}, {escaped(machine.cpu_model)}, {machine.cores} cores, "
        f"{escaped(machine.python)}"
    )


def _findings(report: TrainReport) -> list[str]:
    parts = []
    for finding in report.diagnosis.findings:
        evidence = _list([f"{one.name}: {one.figure}" for one in finding.evidence])
        cures = "\n".join(f"- {escaped(one.words)}{f': `{one.option}`' if one.option else ''}" for one in finding.cures)
        parts.append(f"### {finding.kind.capitalize()}\n\n{evidence}\n\nThe usual cures:\n\n{cures}")
    return parts


def _listed(lines: list[str]) -> list[str]:
    return [_list(lines)] if lines else []


def _list(lines: list[str]) -> str:
    return "\n".join(f"- {escaped(line)}" for line in lines)


def _pairs(rows: list[tuple[str, str]]) -> str:
    return table(("what", "value"), [(escaped(name), escaped(value)) for name, value in rows], numbers_from=2)


def _figures(report: TrainReport) -> str:
    name, figure, doubt = train_words.tested(report)
    rows = [(name, f"{figure} {doubt}"), ("On the validation part", train_words.validated(report))]
    return _pairs([*rows, *train_words.figures(report)])


def _classes(report: TrainReport) -> list[str]:
    if not report.classes or report.accuracy is None:
        return []
    names = [train_words.class_name(report, one.label) for one in report.classes]
    rows = [
        (escaped(name), wording.count(one.images), *(wording.percent(v) for v in (one.precision, one.recall, one.f1)))
        for name, one in zip(names, report.classes, strict=True)
    ]
    parts = [f"## Classes\n\n{table(('class', 'images', 'precision', 'recall', 'F1'), rows)}"]
    if len(names) <= _WIDEST_MATRIX:
        counts = [
            (escaped(name), *(str(number) for number in line))
            for name, line in zip(names, report.accuracy.confusion, strict=True)
        ]
        head = ("label, answer", *(escaped(name) for name in names))
        parts.append(f"## Confusion matrix\n\n{table(head, counts)}")
    return parts


def _confused(report: TrainReport) -> list[str]:
    if not report.confused:
        return []
    rows = [
        (
            escaped(train_words.class_name(report, pair.label)),
            escaped(train_words.class_name(report, pair.answer)),
            str(pair.images),
            ", ".join(str(example.index) for example in pair.examples),
        )
        for pair in report.confused
    ]
    return [
        f"## Confused most\n\n{table(('label', 'taken for', 'images', 'the surest of them'), rows, numbers_from=2)}"
    ]


def _summary(report: TrainReport) -> str:
    rows = [(escaped(name), escaped(kind), *rest) for name, kind, *rest in train_words.summary_rows(report)]
    total = report.summary
    rows.append(("sum", "", "", wording.count(total.parameters), wording.count(total.macs)))
    return table(("layer", "kind", "output", "parameters", "multiply-accumulates"), rows, numbers_from=2)
