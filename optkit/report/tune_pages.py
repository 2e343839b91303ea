"""What is read after a search: tune.json, tune.md, and tune.html, one file without a request or a script."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from optkit.report import chart_tuning, tune_words
from optkit.report.markdown_text import escaped, table
from optkit.report.page import source

if TYPE_CHECKING:
    from optkit.report.tune_record import TuneReport

_TEMPLATE = "tune_page.html.j2"


def contents(report: TuneReport) -> dict[str, bytes]:
    """Each file's name and bytes."""
    return {
        "tune.json": msgspec.json.format(msgspec.json.encode(report)) + b"\n",
        "tune.md": markdown(report).encode(),
        "tune.html": page(report).encode(),
    }


def markdown(report: TuneReport) -> str:
    """The search for readers of text."""
    tiles = [f"- {title}: **{figure}** ({escaped(words)})" for title, figure, words in tune_words.tiles(report)]
    parts = [f"# {escaped(tune_words.sentence(report))}", "\n".join(tiles)]
    if report.warnings:
        parts.append("## Warnings\n\n" + "\n".join(f"- {escaped(one)}" for one in report.warnings))
    for objective, shares in report.importance.items():
        lines = [[escaped(name), f"{100 * share:.0f} %"] for name, share in sorted(shares.items(), key=lambda o: -o[1])]
        parts.append(f"## Importance for {objective}\n\n" + table(["knob", "share"], lines, numbers_from=1))
    rows = [[escaped(cell) for cell in row] for row in tune_words.rows(report)]
    parts.append("## Trials\n\n" + table(tune_words.heads(report), rows, numbers_from=1))
    facts = "\n".join(f"- {name}: {escaped(words)}" for name, words in tune_words.facts(report))
    parts.append(f"## How it was searched\n\n{facts}")
    parts.append(f"## Again\n\n```sh\n{report.command}\n```")
    parts.append("## Next\n\n```sh\noptkit train --recipe best.toml\n```")
    return "\n\n".join(parts) + "\n"


def page(report: TuneReport) -> str:
    """The whole page; its own policy forbids requests and scripts."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("optkit.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text: str = environment.get_template(_TEMPLATE).render(
        report=report,
        source=source,
        sentence=tune_words.sentence(report),
        tiles=tune_words.tiles(report),
        importance=chart_tuning.importance(report),
        parallel=chart_tuning.parallel(report),
        slices=chart_tuning.slices(report),
        course=chart_tuning.course(report),
        tradeoff=chart_tuning.tradeoff(report),
        heads=tune_words.heads(report),
        rows=tune_words.rows(report),
        facts=tune_words.facts(report),
    )
    return text
