"""Recipes are read strictly, and what is wrong is named with the way out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from optkit import recipes
from optkit.errors import InputError
from optkit.pipeline.settings import resolve
from optkit.schema import Step

if TYPE_CHECKING:
    from pathlib import Path


def test_a_recipe_gets_all_defaults_and_its_name_has_no_parameters() -> None:
    recipe = recipes.parse("prune:sparsity=0.8,epochs=1+int8")
    assert recipe.name == "prune+int8"
    prune, precision = recipe.steps
    assert prune.params["sparsity"] == 0.8
    assert prune.params["epochs"] == 1
    assert prune.params["schedule"] == "polynomial"
    assert precision == Step("int8")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prun+int8", "did you mean prune"),
        ("prune:sparsty=0.5+int8", "did you mean sparsity"),
        ("prune:sparsity=1.5+int8", "sparsity expects float < 1.0, found 1.5"),
        ("cluster:clusters=1_6+int8", "clusters expects int, found '1_6'"),
        ("cluster:init=Linear+int8", "one of density, kmeans"),
        ("prune:sparsity=high+int8", "sparsity expects float, found 'high'"),
        ("prune:epochs=1.5+int8", "epochs expects int, found 1.5"),
        ("prune:sparsity+int8", "expected KEY=VALUE"),
        ("prune:sparsity=0.5,sparsity=0.6+int8", "given twice"),
        ("prune", "expected a precision at the end"),
        ("", "expected steps that end in a precision"),
        ("int8+prune", "expected a precision at the end"),
        ("fp16+int8", "must be the last step"),
        ("prune+prune+int8", "named twice"),
        ("fp16:bits=4", "takes no parameters"),
        ("int8:bits=4", "int8 has no parameter 'bits': choose one of drop, float_layers"),
        ("int8:drop=0.5", "int8:drop expects a number and its unit, one of pt, %, found no unit in '0.5'"),
        ("int8:drop=0pt", "int8:drop expects an amount over 0"),
        ("int8:drop=100pt", "which allows any answers"),
        ("int8:drop=true", "drop expects"),
        ("int8:float_layers=2", "give both, such as int8:drop=0.5pt,float_layers=2"),
        ("int8:drop=0.5pt,float_layers=0", "float-layers expects int >= 1, found 0"),
        ("int4:bits=3", "int4 has no parameter 'bits'"),
        ("int4:granularity=block", "one of channel, tensor, found 'block'"),
        ("qat:weight_bits=5+int4", "one of 4, 8, found 5"),
        ("qat:granularity=tensor+int8", "give weight_bits=4 as well"),
        ("qat+prune+int8", "put prune first"),
        ("cluster+prune+int8", "put prune first"),
        ("qat+cluster+int8", "put cluster first"),
        ("prune+factorize+int8", "put factorize first"),
        ("cluster+equalize+int8", "put equalize first"),
        ("prune+distill+int8", "put distill first"),
        ("factorize:share=0+int8", "share expects float > 0.0"),
        ("distill:student=mlp_128+int8", "unknown student 'mlp_128': did you mean mlp-128"),
        ("distill:student=pool:2/dens:16+int8", "unknown layer 'dens:16': did you mean dense"),
        ("distill:student=dense:16:16+int8", "expected dense:UNITS"),
        ("distill:teachers=baseline:+int8", "teachers expects names separated by ':'"),
        ("equalize:epochs=1+int8", "equalize has no parameter 'epochs'"),
        (
            "bias-correct+fp16",
            "bias-correct expects to be the last step before one of int8, dynamic, int16x8, found fp16",
        ),
        ("bias-correct+equalize+int8", "found equalize after it; for example bias-correct"),
    ],
)
def test_a_wrong_recipe_is_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message.replace("|", r"\|")):
        recipes.parse(text)


def test_recipes_that_share_a_name_get_the_values_that_differ() -> None:
    named = recipes.name_apart([recipes.parse(f"prune:sparsity={value}+int8") for value in (0.5, 0.9, 0.5)])
    assert [recipe.name for recipe in named] == ["prune-0.5+int8", "prune-0.9+int8"]
    named = recipes.name_apart([recipes.parse(text) for text in ("factorize+int8", "factorize:share=0.1+int8")])
    assert [recipe.name for recipe in named] == ["factorize+int8", "factorize-0.1+int8"]


def test_values_that_no_file_can_be_called_by_are_told_apart_all_the_same() -> None:
    students = ("lenet5", "conv:8x5/dense:16", "conv:8x5/dense:1/dense:6", "dense:1/" * 40 + "dense:2")
    texts = [f"distill:student={student}+int8" for student in students]
    texts += [f"distill:teachers={path}+int8" for path in ("A/b.keras", "a/B.keras")]
    named = [recipe.name for recipe in recipes.name_apart([recipes.parse(text) for text in texts])]
    assert len({name.lower() for name in named}) == len(texts)
    assert named[0] == "distill-baseline-lenet5+int8"
    for name in named:
        assert re.fullmatch(r"[a-z0-9.+-]+", name)
        assert len(name) < 120


def test_a_precision_may_have_parameters() -> None:
    assert recipes.parse("int4:granularity=tensor").precision == Step(
        "int4", {"granularity": "tensor", "layers": "all"}
    )
    assert recipes.parse("prune+int4").precision.params["granularity"] == "channel"


def test_plain_int8_is_what_it_was_and_a_limit_is_part_of_the_recipe() -> None:
    assert recipes.parse("int8").steps == (Step("int8"),)
    limited = recipes.parse("equalize+int8:drop=0.5pt,float_layers=2")
    assert limited.precision == Step("int8", {"drop": "0.5pt", "float_layers": 2})
    names = [recipe.name for recipe in recipes.name_apart([recipes.parse("int8"), recipes.parse("int8:drop=0.5pt")])]
    assert names == ["int8", "int8-0.5pt"]


def test_layers_in_a_name_are_of_what_a_file_name_holds_and_stay_apart() -> None:
    texts = ("int4", "int4:layers=Dense_1/conv", "int4:layers=dense-1/conv", "int4:layers=dense-1-conv")
    names = [recipe.name for recipe in recipes.name_apart([recipes.parse(text) for text in texts])]
    assert names[0] == "int4-all"
    assert len(set(names)) == len(texts)
    assert all(name.startswith("int4-dense-1-conv") for name in names[1:])
    assert all(re.fullmatch(r"[a-z0-9.+-]+", name) for name in names)


def test_toml_round_trip(tmp_path: Path) -> None:
    made = [
        recipes.parse("prune:pattern=2of4,sparsity=0.5+fp16"),
        recipes.parse("int4:layers=a/b"),
        recipes.parse("fp32"),
    ]
    settings = {"baseline": "mlp-128", "seed": 3, "quick": True, "formats": ["onnx"], "opset": None}
    path = tmp_path / "recipe.toml"
    path.write_text(recipes.dump_toml(settings, made), encoding="utf-8")
    back, read = recipes.load_toml(path)
    assert read == made
    assert back == {"baseline": "mlp-128", "seed": 3, "quick": True, "formats": ["onnx"]}


@pytest.mark.parametrize(
    "text",
    [
        "[[recipe]]\nsteps = [{name = 'int8'}]\ncolour = 'red'\n",
        "[[recipes]]\nsteps = [{name = 'int8'}]\n",
        "[[recipe]]\nsteps = [{nam = 'int8'}]\n",
        "[[recipe]]\nsteps = 'int8'\n",
        "[[recipe]\n",
        "[[recipe]]\nsteps = [{name = 'prune', params = {sparsity = 2.0}}, {name = 'int8'}]\n",
    ],
)
def test_a_wrong_toml_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"wrong\.toml"):
        recipes.load_toml(path)


def test_a_missing_toml_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.toml"):
        recipes.load_toml(tmp_path / "none.toml")


def test_the_standard_set_has_the_reference_and_a_control_that_trains_as_long_as_the_longest_recipe() -> None:
    _, named = resolve({}, [])
    by_name = {recipe.name: recipe for recipe in named}
    assert set(recipes.STANDARD) | {"finetune+fp32"} == set(by_name)
    longest = sum(step.params["epochs"] for step in by_name["prune+cluster+qat+int8"].techniques)
    assert by_name["finetune+fp32"].techniques[0].params["epochs"] == longest


def test_fp32_is_always_made_and_a_recipe_without_training_needs_no_control() -> None:
    _, named = resolve({}, ["int8"])
    assert [recipe.name for recipe in named] == ["fp32", "int8"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"baseline": "lenet"}, "did you mean lenet5"),
        ({"formats": []}, "found none"),
        ({"formats": ["tflit"]}, "did you mean tflite"),
        ({"io": "int4"}, "io expects one of float, int8, uint8, found 'int4'"),
        ({"prefer": "beauty"}, "one of accuracy, latency, size"),
        ({"opset": 3}, "found 3"),
        ({"seed": -1}, ">= 0"),
        ({"epochs": 0}, ">= 1"),
        ({"colour": "red"}, "unknown setting"),
        ({"formats": ["onnx"], "format": "tflite"}, "expected one of the formats that are made"),
    ],
)
def test_a_wrong_setting_is_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        resolve(given, [])


def test_settings_of_a_toml_file_are_overridden_by_explicit_ones(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(
        "[settings]\nseed = 1\nbaseline = 'mlp-128'\n[[recipe]]\nsteps = [{name = 'int8'}]\n",
        encoding="utf-8",
    )
    settings, named = resolve({"seed": 2}, [str(path)])
    assert (settings.seed, settings.baseline) == (2, "mlp-128")
    assert [recipe.name for recipe in named] == ["fp32", "int8"]
