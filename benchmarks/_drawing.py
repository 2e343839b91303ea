"""SVG files that stand alone: a sheet of paper with a style of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from optkit.report import svg

if TYPE_CHECKING:
    from collections.abc import Iterable


def drawing(width: int, height: int, title: str, style: str, parts: Iterable[str]) -> str:
    """The file's text.

    Args:
        width: In pixels.
        height: In pixels.
        title: What a screen reader says.
        style: CSS, with the class ``paper``.
        parts: What is on the paper.
    """
    paper = svg.element("rect", x=0.5, y=0.5, width=width - 1.0, height=height - 1.0, rx=10.0, class_="paper")
    return svg.element(
        "svg",
        svg.element("title", title),
        svg.element("style", Markup(style)),  # noqa: S704  # the caller's constant
        paper,
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {height}",
        width=width,
        height=height,
        role="img",
    )
