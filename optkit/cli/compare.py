"""``optkit compare``: two reports side by side, and a gate for builds."""

from __future__ import annotations

import click

from optkit.errors import ConditionBrokenError


@click.command(name="compare")
@click.argument("old", type=click.Path())
@click.argument("new", type=click.Path())
@click.option(
    "--fail-on",
    "fail_on",
    multiple=True,
    metavar="CONDITIONS",
    help='End with exit code 1 when one of these is broken beyond doubt, e.g. "accuracy<-0.3pt,p50>+5%,file_bytes>0" '
    "(quote it: < and > mean files to a shell). Metrics: accuracy (points of the test set), p50 (% of the time), "
    "file_bytes, gzip_bytes, peak_rss_bytes (bytes, kB, MB or %), macs. A file that was ok and has failed or is gone "
    'always breaks; "status" alone asks for nothing else.',
)
@click.option(
    "--remeasure",
    is_flag=True,
    help="Time the files of both again here, old and new interleaved; answer the test set again where optkit has it.",
)
@click.option("--strict", is_flag=True, help="Exit code 1 also when a condition is in doubt or cannot be judged.")
@click.option("--json", "json_out", metavar="OUT", help="Write the comparison here.")
def command(
    old: str, new: str, *, fail_on: tuple[str, ...], remeasure: bool, strict: bool, json_out: str | None
) -> None:
    """Hold two reports side by side: OLD and NEW are run folders or their report.json.

    Absolute times of two runs are never compared. A p50 condition uses the speed-ups where both are over one
    reference file (equal SHA-256) on one kind of processor; otherwise it cannot be judged, unless --remeasure.
    """
    from rich.console import Console

    from optkit.pipeline.compare import compare
    from optkit.report import compare_text

    with Console(stderr=True).status("Reading") as status:
        comparison = compare(
            old,
            new,
            fail_on=fail_on,
            remeasure=remeasure,
            strict=strict,
            json_out=json_out,
            on_pair=lambda name: status.update(f"Measuring old and new {name}"),
        )
    compare_text.show(comparison)
    if comparison.exit_code:
        raise ConditionBrokenError(compare_text.failure_line(comparison))
