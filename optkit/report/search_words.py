"""The words and figures of a search for a file within limits, the same on the page, in text and on the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.report import wording

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.search_record import Limit, SearchRecord, Standing, TriedFile

HEADER = ("file", "stage", "bytes", "drop [95 %]", "p50", "limits")


def amount(limit: Limit, value: float) -> str:
    """An amount in the unit of a limit."""
    if limit.name == "size":
        return f"{value:,.0f} bytes"
    if limit.name == "latency":
        return wording.microseconds(value)
    return f"{100 * value:.2f} %" if limit.words.endswith("%") else f"{100 * value:.2f} points"


def limit_words(limit: Limit) -> str:
    """A limit as the user wrote it, and what that means where it could be taken for something else."""
    exact = f" ({amount(limit, limit.limit)})" if limit.name == "size" else ""
    return f"{limit.name} at most {limit.words}{exact}"


def missed_words(limit: Limit, standing: Standing) -> str:
    """By how much a limit is exceeded."""
    if standing.held is None or standing.factor is None:
        return f"{limit.name}: not measured, the limit is {limit.words}"
    doubt = "" if limit.name == "size" else " at the upper end of the 95 % interval"
    over = amount(limit, standing.held - limit.limit)
    return (
        f"{limit.name}: {amount(limit, standing.held)}{doubt}, {over} over the limit of {limit.words} "
        f"({standing.factor:.3g} times it)"
    )


def sentence(record: SearchRecord) -> str:
    """What came out, in one sentence."""
    made = sum(one.state in {"within", "beyond", "failed"} for one in record.trials)
    within = sum(one.state == "within" for one in record.trials)
    count = f"{made} files tried in {wording.duration(record.seconds)}, {within} within all limits"
    if record.delivered is None:
        return f"{count}; none passed its checks."
    name = wording.file_name(record.delivered, record.delivered_format or "")
    if record.met:
        return f"{count}: {name} is delivered."
    return f"{count}: {name} is the nearest, {'; '.join(record.missed)}."


def machine(record: SearchRecord) -> str | None:
    """What a limit on latency is about."""
    if not any(limit.name == "latency" for limit in record.limits):
        return None
    where = "this machine" if record.latency_node is None else f"the machine {record.latency_node}"
    return f"Latency is p50 of one call, one thread, on {where} ({record.cpu_model})."


def drop(record: SearchRecord, tried: TriedFile) -> str:
    """A file's drop with its interval, in points or percent; negative where it is better than fp32."""
    if tried.drop is None or tried.drop_ci95 is None:
        return wording.MISSING
    unit = " %" if any(limit.words.endswith("%") for limit in record.limits) or tried.correct is None else ""
    low, high = tried.drop_ci95
    return f"{100 * tried.drop:.2f} [{100 * low:.2f}, {100 * high:.2f}]{unit}".replace("-", "−").replace(
        "−0.00 ", "0.00 "
    )


def state(tried: TriedFile) -> str:
    """Whether a file is within all limits, or which it is beyond and by what factor."""
    if tried.state in {"failed", "not made"}:
        return tried.state
    if tried.state == "within":
        return "within"
    beyond = [
        f"{one.name} {'?' if one.factor is None else f'{one.factor:.3g}×'}" for one in tried.standings if not one.met
    ]
    return ", ".join(beyond)


def is_delivered(record: SearchRecord, tried: TriedFile) -> bool:
    """Whether it is the file that was delivered."""
    return (tried.name, tried.format) == (record.delivered, record.delivered_format)


def rows(record: SearchRecord) -> list[tuple[TriedFile, list[str]]]:
    """Every file that was made, with its cells under ``HEADER``; the delivered file first, then by size."""
    made = [one for one in record.trials if one.state != "not made"]
    made.sort(key=lambda one: (not is_delivered(record, one), one.file_bytes or 0))
    return [
        (
            one,
            [
                wording.file_name(one.name, one.format),
                one.stage,
                wording.count(one.file_bytes),
                drop(record, one),
                wording.microseconds(one.p50_us),
                state(one),
            ],
        )
        for one in made
    ]


def header(record: SearchRecord) -> list[str]:
    """``HEADER`` with the unit of the drop."""
    values = any(one.mean_absolute_error is not None for one in record.trials)
    unit = "rise of MAE, % [95 %]" if values else "drop, points [95 %]"
    return [unit if name.startswith("drop") else name for name in HEADER]


def not_made(record: SearchRecord) -> list[tuple[str, str]]:
    """(names, reason) of what could not be made, one entry for each reason."""
    found: dict[str, list[str]] = {}
    for one in record.trials:
        if one.state == "not made":
            found.setdefault(one.reason, []).append(wording.file_name(one.name, one.format))
    return [(wording.listed(names), reason) for reason, names in found.items()]


def notes(record: SearchRecord) -> Sequence[str]:
    """How the search was judged and why it ended."""
    told = [record.evidence[:1].upper() + record.evidence[1:] + "."]
    words = machine(record)
    if words is not None:
        told.append(words)
    told += [
        (
            f"All files were judged on the same {record.validation:,} validation examples; what was chosen from "
            "many by them looks a little better there than it is. The test set was read for the delivered file and "
            "fp32 alone."
        ),
        *record.engine,
        f"The search ended because {record.stopped}.",
    ]
    return told
