"""Charts with a row for each file, laid out twice: for a wide page, and for a phone with names above their marks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from optkit.report import svg

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Layout:
    """Where things stand, in pixels.

    Attributes:
        kind: Class of the picture: the style sheet shows ``roomy`` ones on wide pages, ``slim`` ones on narrow ones.
        width: Of the whole chart.
        left: Where marks begin.
        right: Room that marks leave at the right.
        row: Height of a row.
        middle: Middle of the marks, below the top of their row.
        text: Base line of name and value, below the top of their row.
        ticks: About how many figures stand on the axis.
    """

    kind: str
    width: int
    left: int
    right: int
    row: int
    middle: float
    text: float
    ticks: int

    @property
    def end(self) -> int:
        """Where marks end."""
        return self.width - self.right

    def anchor(self, x: float) -> str:
        """How the figure of a tick stands to it: inside the chart at both ends."""
        return "start" if x < self.left + 10 else "end" if x > self.width - 14 else "middle"

    def name(self, y: float, name: str) -> Markup:
        """A row's name: left of its marks, or above them."""
        if self.kind == "slim":
            return svg.text(0, y + self.text, name, class_="row-label", anchor="start")
        return svg.text(self.left - 12, y + self.text, name, class_="row-label", anchor="end")

    def value(self, y: float, value: str) -> Markup:
        """A row's figure, at the right."""
        return svg.text(self.width - 4, y + self.text, value, class_="row-value", anchor="end")


def both(draw: Callable[[Layout], Markup], *, right: int) -> Markup:
    """A chart for wide pages, which leaves room for figures at the ``right``, and the same one for narrow pages."""
    roomy = Layout("roomy", 1120, 186, right, row=26, middle=13, text=17, ticks=8)
    slim = Layout("slim", 340, 1, 6, row=42, middle=29, text=14, ticks=4)
    return Markup("").join([draw(roomy), draw(slim)])
