"""report.html: one file without any request, drawn from the record alone."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

from optkit.report import (
    chart_bytes,
    chart_curves,
    chart_scaling,
    chart_search,
    chart_speed,
    chart_tradeoff,
    headline,
    method,
    quality,
    search_words,
    sensitivity_words,
    wording,
)
from optkit.report.page_classes import class_figures, confusion
from optkit.report.page_rows import Row, columns, flip_pictures, rows
from optkit.report.reference import baseline_of, controls, find, formats

if TYPE_CHECKING:
    from collections.abc import Callable

    from markupsafe import Markup

    from optkit.schema import Report, Variant

_TEMPLATE = "page.html.j2"
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")


def render(report: Report) -> str:
    """The whole page, with styles, script, charts and pictures inside; its own policy forbids requests."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("optkit.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(count=wording.count, mebibytes=wording.mebibytes, observed=wording.observed)
    text: str = environment.get_template(_TEMPLATE).render(**_context(report))
    return text


def _context(report: Report) -> dict[str, Any]:
    """Everything that the template names."""
    choice = report.recommendation
    chosen = None if choice is None else find(report.variants, choice.variant, choice.format)
    baseline = None if chosen is None else baseline_of(report.variants, chosen.format)
    all_rows = rows(report)
    facts = headline.facts(report)
    return {
        "report": report,
        "source": source,
        "created": _moment(report.created),
        "missing": wording.MISSING,
        "chosen": chosen,
        "chosen_file": "" if chosen is None else wording.file_name(chosen.name, chosen.format),
        "chosen_row": next((row for row in all_rows if row.chosen), None),
        "cost": "" if chosen is None else wording.cost(chosen, baseline),
        "baseline": baseline,
        "facts": facts,
        "headings": headline.headings(facts),
        "has_recipes": any(variant.recipe is not None for variant in report.variants),
        "doubts": method.doubts(report),
        "reason": headline.reason(report),
        "headers": columns(report, all_rows),
        "validated": any(quality.validated(variant) is not None for variant in report.variants),
        "values": quality.of_values(report.variants),
        "class_names": [] if report.data is None else report.data.class_names,
        "class_name": wording.class_name,
        "preprocessing": _preprocessing(report),
        "outputs": method.outputs(report.task),
        "accuracy_curves": chart_curves.shows_accuracy(report.training),
        "reference": wording.reference(report.variants),
        "rows": all_rows,
        "formats": formats(report.variants),
        "tradeoffs": chart_tradeoff.panels(report),
        "axis_words": _axis_words(report),
        "compared": _compared(chosen, baseline),
        "flips": () if chosen is None else flip_pictures(report, chosen, at_most=200),
        "pictures": _pictures(report, all_rows, chosen),
        "curves": chart_curves.learning_curves(report.training),
        "byte_charts": _by_format(report, chart_bytes.bars),
        "byte_rows": chart_bytes.table(report),
        "kinds": [chart_bytes.words(kind) for kind in chart_bytes.kinds(report)],
        "speed_charts": _by_format(report, chart_speed.intervals),
        "block_charts": _by_format(report, chart_curves.latency_blocks),
        "scaling_charts": chart_scaling.panels(report),
        "scaling_rows": chart_scaling.table(report.variants),
        "runtime_rows": method.runtime_rows(report.variants),
        "measured": [
            f"{wording.format_name(stopping.format)}: {method.ended(stopping)}." for stopping in report.stopping
        ],
        "split": "" if report.data is None else method.split(report.data),
        "generated": method.GENERATED,
        "seed": method.seed(report),
        "has_accuracy": quality.any_tested(report.variants),
        "control_notes": _control_notes(report),
        "loads": _loads(report),
        "search": _search(report),
        "sensitivity": sensitivity_words,
    }


def _search(report: Report) -> dict[str, Any] | None:
    """What the page says of a search for a file within limits."""
    record = report.search
    if record is None:
        return None
    return {
        "sentence": search_words.sentence(record),
        "met": record.met,
        "chart": chart_search.tradeoff(record),
        "limits": [(search_words.limit_words(one), one.what) for one in record.limits],
        "header": search_words.header(record),
        "rows": [(one, cells, search_words.is_delivered(record, one)) for one, cells in search_words.rows(record)],
        "not_made": search_words.not_made(record),
        "notes": search_words.notes(record),
    }


def _moment(created: str) -> str:
    """``2026-11-22 04:04 UTC`` for the moment in ISO 8601; what cannot be read is left as it is."""
    try:
        return dt.datetime.fromisoformat(created).astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
    except ValueError:
        return created


def _preprocessing(report: Report) -> str:
    given = None if report.data is None else report.data.preprocessing
    return "" if given is None else method.preprocessing(given)


def source(name: str) -> Markup:
    """A style sheet or script of this package, to stand inside the page as it is."""
    from importlib.resources import files

    from markupsafe import Markup

    # Our own files, in which nothing from outside stands.
    return Markup((files("optkit.report") / name).read_text(encoding="utf-8"))  # noqa: S704


def _by_format(report: Report, draw: Callable[[Report, str], Markup | None]) -> list[tuple[str, Markup]]:
    drawn = [(name, draw(report, name)) for name in formats(report.variants)]
    return [(name, chart) for name, chart in drawn if chart is not None]


def _axis_words(report: Report) -> str:
    """Which accuracy, or error, the charts show."""
    errors = [variant.errors_validation for variant in report.variants if variant.errors_validation is not None]
    if quality.of_values(report.variants):
        part = f"the {errors[0].total:,} validation examples, on which choices are made" if errors else "the test set"
        return f"Mean absolute error (upwards is less) on {part}"
    validated = [variant.accuracy_validation for variant in report.variants if variant.accuracy_validation is not None]
    if validated:
        return f"Accuracy on the {validated[0].total:,} validation images, on which choices are made"
    return "Accuracy on the test set"


def _compared(chosen: Variant | None, baseline: Variant | None) -> list[dict[str, Any]]:
    """The baseline and the chosen file, class by class; one of them where they are the same."""
    shown = [baseline] if chosen is baseline else [baseline, chosen]
    counted = [
        (variant, variant.accuracy.confusion)
        for variant in shown
        if variant is not None and variant.accuracy is not None and variant.accuracy.confusion
    ]
    # The table of classes has one row for both, so they must have the same classes.
    return [
        {
            "file": wording.file_name(variant.name, variant.format),
            "confusion": confusion(counts),
            "figures": class_figures(counts),
        }
        for variant, counts in counted
        if len(counts) == len(counted[0][1])
    ]


def _pictures(report: Report, all_rows: list[Row], chosen: Variant | None) -> list[tuple[str, str]]:
    """(index, PNG in base64) of each picture that the page shows, once."""
    shown = {str(flip.index) for row in all_rows for flip in row.flips if flip.picture}
    shown |= {str(flip.index) for flip in ([] if chosen is None else chosen.flips)}
    return [
        (index, data) for index, data in sorted(report.pictures.items()) if index in shown and _BASE64.fullmatch(data)
    ]


def _control_notes(report: Report) -> list[str]:
    notes = []
    for control in controls(report.variants):
        measured = quality.tested(control)
        if measured is not None and measured.versus_baseline is not None:
            versus = measured.versus_baseline
            notes.append(
                f"{wording.file_name(control.name, control.format)}: "
                f"{wording.tested_figure(control)}, "
                f"{wording.paired(measured, versus)}, {versus.verdict}."
            )
    return notes


def _loads(report: Report) -> str:
    before, after = report.environment.load_average_before, report.environment.load_average_after
    parts = [
        f"{', '.join(f'{load:.2f}' for load in values)} {when}"
        for when, values in (("before", before), ("after", after))
        if values is not None
    ]
    return "; ".join(parts) or "not known"
