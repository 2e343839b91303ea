"""lessons.md: a table of all experiments, how claims are judged, and the plots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks._lessons_plots import MARKS, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks._lessons_outcome import Outcome

HEAD = (
    "| experiment | setting | mean ± spread | claim | verdict | why: mean [95 % interval] |\n"
    "| --- | --- | --: | --- | --- | --- |"
)
MEANING = """\
**What is measured.** Every setting is trained with several seeds, which decide the initial weights, the order of the
images, dropout and augmentation; the training images are the same (the first of the training part, which is shuffled),
and so are the test images. Mean ± spread: mean and standard deviation over the seeds. Training and test accuracy are
those of the trained network, without dropout. 5,000 of MNIST's 60,000 training images are the validation part.

**Test images, for once.** The lessons look at test images while they compare settings, and so does this page: all
figures but those that say "validation" are of the test part. Nothing is chosen by them: no default, no recipe and no
recommendation in optkit comes from this page.

**When a claim held.** A claim is one or more statements about a mean, or about a mean difference of two settings taken
seed by seed. It *held* when the 95 % interval (Student's t over the seeds) of each of them lies inside its limits; it
*did not hold* when the interval of one lies wholly outside (at 5 % over the number of statements); otherwise it *cannot
be told* from so many seeds. An interval is never narrower than one counted image to either side. It speaks of other
seeds, for these training and test images; of other images it says nothing.

**Whose claims.** The lesson on structure says that 256 + 128 units do best; the one on a dense layer of 128 units that
validation stops improving near epoch 5, and that 9 is most often wrong, taken for 7, 4 or 3. The others show an
experiment without a figure to hold it to: what stands here is what it is shown for. Limits such as "less than 0.2
points" are ours."""


def page(outcomes: Sequence[Outcome], written: dict[str, Any], folder: str) -> str:
    """The whole page in Markdown.

    Args:
        outcomes: In their order.
        written: What lessons.json holds.
        folder: Where the plots are, beside the page.
    """
    described = written["environment"]
    loads = [written[name] for name in ("load_average_at_start", "load_average_at_end")]
    load = " to ".join(f"{one[0]:.1f}" for one in loads if one)
    figures = {figure["name"]: figure["value"] for figure in written["figures"]}
    counted = ", ".join(
        f"{figures[f'claims: {verdict}']:.0f} {words}"
        for verdict, words in (("held", "held"), ("did not hold", "did not"), ("cannot be told", "cannot be told"))
    )
    seconds = sum(one.train_seconds for one in outcomes)
    lines = ["# The lessons' experiments, reproduced", ""]
    lines += [f"{len(outcomes)} claims: {counted}. Made by `scripts/bench lessons"]
    lines[-1] += f"{' --full' if folder.endswith('full') else ''}`, {written['date']}; {described['cpu_model']}, "
    lines[-1] += f"{described['cores']} cores, {described['os']}, {described['python']}; load average {load}."
    lines += ["", HEAD]
    for one in outcomes:
        lines += _rows(one)
    lines += ["", MEANING, "", "## Plots", ""]
    lines += [f"Each dot is a seed. All trainings together: {seconds / 60:.0f} minutes on one thread each.", ""]
    for one in outcomes:
        lines += [f"![{one.title}: {one.verdict}]({folder}/{one.name}.svg)", ""]
    return "\n".join(lines)


def _rows(one: Outcome) -> list[str]:
    """A row for each setting; what is said once stands in the first."""
    rows = []
    for index, setting in enumerate(one.settings):
        first = index == 0
        cells = [
            f"**{one.title}**<br>{one.setup}; {one.what}, {len(setting.values)} seeds" if first else "",
            setting.name,
            f"{number(setting.mean)} ± {number(setting.deviation)}{' ' if one.unit else ''}{one.unit}",
            one.claim if first else "",
            f"{MARKS[one.verdict]} {one.verdict}" if first else "",
            "<br>".join(one.why) if first else "",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return rows
