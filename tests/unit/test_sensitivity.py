"""How noise is told from outputs, which layers go together, which stay in float, and what the report says of it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import jsonschema
import msgspec
import numpy as np
import pytest
from sample_report import sample_report

from optkit import recipes
from optkit.errors import InputError
from optkit.exporters import _excluding, quantization_aware_reason
from optkit.exporters._excluding import Operation, grouped
from optkit.measure.sensitivity import logits, sqnr_db
from optkit.pipeline import exclusion
from optkit.problem import Task
from optkit.report import markdown, page, sensitivity_words, terminal
from optkit.report.json_file import from_json, json_schema, to_json
from optkit.search.candidates import named
from optkit.search.probes import text_of
from optkit.search_record import Limit
from optkit.sensitivity_record import LayerSensitivity, Sensitivity, TriedExclusion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.schema import Report

SCORES = np.random.default_rng(0).normal(0, 5, (50, 10))


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def test_probabilities_and_logits_of_one_model_tell_the_same_noise() -> None:
    wanted = SCORES - SCORES.mean(axis=1, keepdims=True)
    assert logits(softmax(SCORES).astype(np.float32), Task()) == pytest.approx(wanted, abs=1e-5)
    assert logits(SCORES + 7, Task(outputs="logits")) == pytest.approx(wanted)


def test_probabilities_of_their_own_and_values_are_not_taken_less_their_mean() -> None:
    sigmoids = Task(outputs="sigmoids", size=10)
    near = SCORES / 5
    assert logits(1 / (1 + np.exp(-near)), sigmoids) == pytest.approx(near, rel=1e-5)
    assert np.isfinite(logits(np.array([[0.0, 1.0]], np.float32), sigmoids)).all()
    assert np.isfinite(logits(np.array([[0.0, 1.0]], np.float32), Task(size=2))).all()
    values = Task("regression", "values", 1)
    assert logits(SCORES[:, :1], values).tolist() == SCORES[:, :1].tolist()


def test_the_ratio_is_of_powers_in_decibels() -> None:
    signal = np.full((4, 10), 3.0)
    assert sqnr_db(signal, signal + 0.03) == pytest.approx(40)
    assert sqnr_db(signal, signal * 2) == pytest.approx(0)
    assert sqnr_db(signal, signal) is None
    with pytest.raises(InputError, match="found NaN or infinity"):
        sqnr_db(signal, signal * np.nan)


# A convolution with its pooling, one beside it, their sum, a dense layer, a softmax.
GRAPH = [
    Operation("scale", ("rescale",), has_kernel=False, inputs=("image",), outputs=("s",)),
    Operation("left", ("relu", "left"), has_kernel=True, inputs=("s",), outputs=("l",)),
    Operation("pool", ("pool",), has_kernel=False, inputs=("l",), outputs=("p",)),
    Operation("right", ("right",), has_kernel=True, inputs=("s",), outputs=("r",)),
    Operation("sum", ("add",), has_kernel=False, inputs=("r", "p"), outputs=("a",)),
    Operation("dense", ("dense",), has_kernel=True, inputs=("a",), outputs=("d",)),
    Operation("softmax", (), has_kernel=False, inputs=("d",), outputs=("digits",)),
]


def test_what_follows_a_layer_up_to_the_next_kernel_goes_with_it() -> None:
    groups = grouped(GRAPH, ["digits"], ("left", "right", "dense"), ())
    assert groups.layers == ("left", "right", "dense")
    assert groups.followers == {"left": ("relu", "pool"), "right": ("add",), "dense": ()}
    # The layer alone in int8: neither what is before it nor the softmax.
    assert groups.all_but("dense") == ["scale", "left", "pool", "right", "sum", "softmax"]
    assert groups.all_but("left") == ["scale", "right", "sum", "dense", "softmax"]
    assert grouped(GRAPH, ["digits"], ("left", "right", "dense"), ("right",)).layers == ("left", "dense")


class Table:
    """Files whose accuracy is within the limit when all of some layers are in float."""

    def __init__(self, *needed: str) -> None:
        self._needed = set(needed)
        self.made: dict[frozenset[str], TriedExclusion] = {}

    def __call__(self, layers: Sequence[str]) -> TriedExclusion:
        within = self._needed <= set(layers)
        worst = 0.0 if within else 0.5 - 0.1 * len(layers)
        return self.made.setdefault(
            frozenset(layers), TriedExclusion(list(layers), worst, (worst, worst), 100 + len(layers), within)
        )

    nearest = exclusion._Attempts.nearest


@pytest.mark.parametrize(
    ("needed", "most", "wanted"),
    [
        ((), 3, ((), True)),
        (("a",), 3, (("a",), True)),
        # One that came first in the order but is not needed goes back.
        (("b", "c"), 3, (("b", "c"), True)),
        (("b",), 1, (("a",), False)),
        (("a", "b"), 0, ((), False)),
    ],
)
def test_as_few_layers_as_needed_stay_in_float(
    needed: tuple[str, ...], most: int, wanted: tuple[tuple[str, ...], bool]
) -> None:
    attempt = Table(*needed)
    assert exclusion._fewest(["a", "b", "c", "d"], most, attempt) == wanted  # type: ignore[arg-type]


def test_a_limit_is_of_int8_after_training_alone() -> None:
    found = _excluding.wanted(recipes.parse("equalize+int8:drop=0.5pt,float_layers=2"))
    assert found is not None
    assert (found.limit.limit, found.float_layers) == (0.005, 2)
    assert _excluding.wanted(recipes.parse("int8")) is None
    assert _excluding.wanted(recipes.parse("int4:layers=a")) is None
    assert "quantization after training" in str(quantization_aware_reason(recipes.parse("qat+int8:drop=0.5pt")))
    assert quantization_aware_reason(recipes.parse("qat+int8")) is None


def test_a_search_tells_recipes_apart_by_their_limit() -> None:
    recipe = recipes.parse("int8:drop=0.5pt")
    assert text_of(recipe) == "int8:drop=0.5pt"
    assert recipes.parse(text_of(recipe)) == recipe
    assert named(recipe).name == "int8-0.5pt"
    assert text_of(recipes.parse("int8")) == "int8"


def record(*, excluded: Sequence[str] = ("dense",), within: bool = True) -> Sensitivity:
    """Three layers, of which one is bad."""
    tried = [
        TriedExclusion([], 0.5834, (0.5683, 0.5981), 25_152, within=within and not excluded),
        TriedExclusion(["dense", "conv"], 0.0012, (-0.0005, 0.0029), 83_568, within=within),
        TriedExclusion(["dense"], 0.0006, (-0.0011, 0.0023), 79_968, within=within),
    ]
    layers = [
        LayerSensitivity(
            "dense", 0.49, 0.618, (0.584, 0.649), excluded="dense" in excluded, reason="<with it> in int8"
        ),
        LayerSensitivity("digits", 38.5, 0.0, (-0.004, 0.004), excluded=False, reason="the limit is met"),
        LayerSensitivity("conv", None, None, None, excluded=False, reason="the limit is met"),
    ]
    limit = Limit("drop", "0.5pt", 0.005, "fraction", "accuracy")
    return Sensitivity("one at a time", limit, 1_000, 5_000, layers, tried, list(excluded), ["pool"], 2, within=within)


def report_with(sensitivity: Sensitivity) -> Report:
    report = sample_report()
    first, *others = report.variants
    return msgspec.structs.replace(report, variants=[msgspec.structs.replace(first, sensitivity=sensitivity), *others])


def screen(report: Report, width: int = 104) -> str:
    stream = io.StringIO()
    terminal.show(report, stream=stream, width=width)
    return " ".join(stream.getvalue().split())


def test_it_is_in_report_json_and_read_back() -> None:
    report = report_with(record())
    content = to_json(report)
    assert from_json(content) == report
    jsonschema.validate(msgspec.json.decode(content), json_schema())


@pytest.mark.parametrize("render", [markdown.render, page.render, screen])
def test_the_table_and_what_came_out_are_shown(render) -> None:  # noqa: ANN001  # each takes a report
    # Markdown's brackets are escaped.
    text = render(report_with(record())).replace("\\", "")
    for words in ("38.5", "61.80 [58.40, 64.90]", "no noise", "float32"):
        assert words in text
    assert "1 of 3 layers left in float (dense), with which the drop on validation data is 0.06 [−0.11, 0.23]" in text
    assert "all in int8, the drop on validation data is 58.34 [56.83, 59.81] points" in text
    assert "54,816 bytes" in text


def test_a_report_without_it_says_nothing_of_it() -> None:
    report = sample_report()
    assert "lose most when quantized" not in markdown.render(report)
    assert "lose most when quantized" not in page.render(report)
    assert "quantizing each layer" not in screen(report)


def test_reasons_are_text_on_the_page() -> None:
    assert "&lt;with it&gt; in int8" in page.render(report_with(record()))


def test_nothing_in_float_and_a_limit_that_is_not_met_are_told() -> None:
    variant = sample_report().variants[0]
    nothing = sensitivity_words.sentence(variant, record(excluded=()))
    assert "no layer is left in float; all in int8, the drop on validation data is 58.34" in nothing
    missed = sensitivity_words.sentence(variant, record(within=False))
    assert (
        "the limit is 0.5pt, and is not met with the 2 most sensitive of 3 layers in float, as many as may be" in missed
    )
    assert "The file that comes nearest is here, with 1 of 3 layers left in float (dense)" in missed
