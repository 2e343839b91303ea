"""The front as people read it: a table and a picture, both made of the written record alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks._drawing import drawing
from benchmarks.pareto.outcome import Delivered, read
from optkit import store
from optkit.report import svg

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from markupsafe import Markup

    from optkit.report.svg import Scale

# Bytes and percent that others have published: of weights alone, run by an engine of their own, chosen on test images.
PUBLISHED = (
    (3_200, 98.92),
    (5_400, 99.06),
    (7_300, 99.28),
    (9_300, 99.44),
    (11_300, 99.54),
    (13_400, 99.58),
)
WIDTH, HEIGHT = 860, 470
LEFT, RIGHT, TOP, BOTTOM = 70, 30, 96, 62
LOW, HIGH = 98.6, 99.9
NARROWEST, WIDEST = 2_700, 90_000
STYLE = """
svg { font: 13px/1.4 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial,
  sans-serif; font-variant-numeric: tabular-nums;
  --paper: #ffffff; --edge: #e2e2dc; --ink: #1b1f24; --muted: #596069; --line: #e6e6e0;
  --c0: #1a56b4; --c1: #b4690e; }
@media (prefers-color-scheme: dark) {
  svg { --paper: #191d21; --edge: #2b3137; --ink: #e6e9ec; --muted: #9aa4ae; --line: #2b3137;
    --c0: #8ab6ff; --c1: #e9ae62; } }
text { fill: var(--ink); }
.paper { fill: var(--paper); stroke: var(--edge); }
.title { font-size: 17px; font-weight: 650; letter-spacing: -0.01em; }
.muted, .tick { fill: var(--muted); } .tick { font-size: 12px; }
.grid { stroke: var(--line); stroke-width: 1; }
.front { fill: none; stroke-width: 2.2; stroke-linejoin: round; }
.bar { stroke-width: 1.4; stroke-opacity: 0.5; }
.c0.front, .c0.bar { stroke: var(--c0); } .c0.dot, .c0.name { fill: var(--c0); }
.c1.front, .c1.bar { stroke: var(--c1); } .c1.dot, .c1.name { fill: var(--c1); }
.other { fill: none; stroke: var(--muted); stroke-width: 1.5; }
.name { font-weight: 650; }
"""
NAMES = {"int8": "int8 weights", "int4": "int4 weights allowed"}

HEADINGS = (
    "at most",
    "weights",
    "bytes",
    "test accuracy, 95 % interval",
    "must",
    "aim",
    "validation, augmented",
    "seeds: mean ± spread",
    "faster than LeNet-5 fp32",
    "network",
)


class _Plane(NamedTuple):
    x: Scale
    y: Scale


def write(folder: Path) -> None:
    """Write ``README.md`` and ``front.svg`` beside ``results.json``."""
    rows = read(folder)
    record = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    store.write_bytes(folder / "front.svg", (_picture(rows) + "\n").encode())
    store.write_bytes(folder / "README.md", _text(rows, record).encode())


def _picture(rows: Sequence[Delivered]) -> str:
    plane = _Plane(svg.logarithmic(NARROWEST, WIDEST, LEFT, WIDTH - RIGHT), svg.linear(LOW, HIGH, HEIGHT - BOTTOM, TOP))
    parts = [
        svg.text(24, 34, "MNIST files that stock LiteRT runs", class_="title", anchor="start"),
        svg.text(
            24,
            56,
            "Test accuracy (10,000 images, 95 % interval) against the size of the whole .tflite file",
            class_="muted",
            anchor="start",
        ),
        *_axes(plane),
        *(
            svg.element("circle", cx=plane.x(size), cy=plane.y(right), r=4.0, class_="other")
            for size, right in PUBLISHED
        ),
    ]
    for index, column in enumerate(NAMES):
        own = [one for one in rows if one.column == column]
        parts += _series(plane, own, f"c{index}", (index - 0.5) * 5)
    parts += _legend()
    label = "; ".join(f"{one.file_bytes} bytes {one.correct / 100:.2f} %" for one in rows)
    return drawing(WIDTH, HEIGHT, label, STYLE, parts)


def _axes(plane: _Plane) -> list[Markup]:
    parts = []
    for tenth in range(round(LOW * 10), round(HIGH * 10) + 1, 2):
        y = plane.y(tenth / 10)
        parts.append(svg.line(LEFT, y, WIDTH - RIGHT, y, class_="grid"))
        parts.append(svg.text(LEFT - 10, y + 4, f"{tenth / 10:.1f} %", anchor="end"))
    for kib in (4, 6, 8, 10, 12, 16, 32, 64):
        x = plane.x(kib * 1024)
        parts.append(svg.line(x, TOP, x, HEIGHT - BOTTOM, class_="grid"))
        parts.append(svg.text(x, HEIGHT - BOTTOM + 20, f"{kib}"))
    parts.append(svg.text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 16, "KiB of the file", class_="muted"))
    return parts


def _series(plane: _Plane, rows: Sequence[Delivered], colour: str, aside: float) -> list[Markup]:
    """A line from file to file; intervals of both series stand a little apart."""
    parts = []
    points = [(plane.x(one.file_bytes), plane.y(one.correct / 100)) for one in rows]
    for one, (x, _) in zip(rows, points, strict=True):
        low, high = (plane.y(max(LOW, min(HIGH, 100 * end))) for end in one.ci95)
        parts.append(svg.line(x + aside, low, x + aside, high, class_=f"bar {colour}"))
    parts.append(svg.path(points, class_=f"front {colour}"))
    parts += [svg.element("circle", cx=x, cy=y, r=4.2, class_=f"dot {colour}") for x, y in points]
    return parts


def _legend() -> list[Markup]:
    parts, x = [], 24.0
    for index, name in enumerate(NAMES.values()):
        parts.append(svg.element("circle", cx=x + 5, cy=76.0, r=4.2, class_=f"dot c{index}"))
        parts.append(svg.text(x + 16, 80, name, class_=f"name c{index}", anchor="start"))
        x += 24 + 8.0 * len(name)
    parts.append(svg.element("circle", cx=x + 5, cy=76.0, r=4.0, class_="other"))
    words = "published: weights alone, engines of their own, chosen on test images"
    parts.append(svg.text(x + 16, 80, words, class_="muted", anchor="start"))
    return parts


def _text(rows: Sequence[Delivered], record: dict[str, Any]) -> str:
    lines = [
        "# The front: small MNIST files",
        "",
        "Whole `.tflite` files that unmodified LiteRT runs: integers throughout, int8 input 28×28, batch 1. Networks,",
        "epochs and seeds were chosen on validation images and eight augmented copies of them; each file here saw the",
        "10,000 test images once, and every such look is in `results.json`. Made by `scripts/bench pareto`.",
        "",
        "![Accuracy against size](front.svg)",
        "",
        f"| {' | '.join(HEADINGS)} |",
        "|---" * len(HEADINGS) + "|",
    ]
    for one in rows:
        spread = "one seed" if one.spread is None else f"{len(one.seeds)}: {one.mean:.2%} ± {one.spread:.2%}"
        low, high = one.ci95
        ratio, least, most = one.faster
        reached = "" if one.correct >= one.must else " (not reached)"
        lines.append(
            f"| {one.most_bytes:,} | {one.column if one.column == 'int8' else 'int4 allowed'} | "
            f"[{one.file_bytes:,}](files/{one.file}) | {one.correct / 100:.2f} % [{100 * low:.2f}, {100 * high:.2f}] | "
            f"{one.must / 100:.2f} %{reached} | {one.aim / 100:.2f} % | {one.validation:.2%}, {one.augmented:.2%} | "
            f"{spread} | {ratio:.1f} [{least:.1f}, {most:.1f}] | {_network(one)} |"
        )
    lines += ["", f"Measured on {record['date']}, {_machine(record)}.", ""]
    return "\n".join(lines)


def _network(one: Delivered) -> str:
    """Channels of the convolutions; the rest is the same for all."""
    channels = "–".join(layer.split(":")[1].partition("x")[0] for layer in one.layers if layer.startswith("conv"))
    return f"{channels}, {one.parameters:,} parameters, int{one.bits}"


def _machine(record: dict[str, Any]) -> str:
    return f"{record['environment']['cpu_model']}, one thread"
