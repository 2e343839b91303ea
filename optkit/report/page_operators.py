"""The operators of a file, as rows of the table in its details."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from optkit.report import wording

if TYPE_CHECKING:
    from optkit.schema import OperatorFigures, Variant

# Of deeper networks the most costly operators are shown: a page must stay readable, and a page of many such files
# under 2 MB, at some 330 bytes a row.
_MOST, _LEAST, _ON_THE_PAGE = 80, 8, 2_800


@dataclass(frozen=True)
class OperatorRow:
    """An operator; ``percent`` is its share of the profiled time, ``None`` where the runtime gave no profile."""

    position: int
    kind: str
    name: str
    macs: str
    weight_bytes: str
    mean: str
    percent: float | None


def operator_rows(variant: Variant, *, files: int = 1) -> tuple[tuple[OperatorRow, ...], str]:
    """The operators in the order of the file, and words on those left out (empty where all are shown).

    ``files`` is the number of files that share the page.
    """
    most = max(_LEAST, min(_MOST, _ON_THE_PAGE // max(1, files)))
    operators = variant.operators
    total = sum(operator.mean_us or 0.0 for operator in operators)
    costly = sorted(range(len(operators)), key=lambda index: _cost(operators[index]), reverse=True)[:most]
    rows = tuple(_row(index, operators[index], total) for index in sorted(costly))
    left = len(operators) - len(rows)
    if not left:
        return rows, ""
    share = f", together {100 - sum(row.percent or 0.0 for row in rows):.1f} % of the time," if total else ""
    return rows, f"The {left:,} least costly of {len(operators):,} operators{share} are in report.json only."


def _cost(operator: OperatorFigures) -> tuple[float, int, int]:
    return operator.mean_us or 0.0, operator.macs or 0, operator.weight_bytes


def _row(index: int, operator: OperatorFigures, total: float) -> OperatorRow:
    return OperatorRow(
        position=index + 1,
        kind=operator.kind,
        name=operator.name,
        macs=wording.count(operator.macs),
        weight_bytes=wording.count(operator.weight_bytes),
        mean=wording.microseconds(operator.mean_us),
        percent=None if operator.mean_us is None or not total else 100 * operator.mean_us / total,
    )
