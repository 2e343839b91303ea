from __future__ import annotations

import msgspec
import pytest
from click.testing import CliRunner

import optkit
from optkit.cli import training_options
from optkit.cli.train import command
from optkit.pipeline.train_run import network_name, run_folder, train
from optkit.pipeline.train_settings import TrainSettings, resolve_training


def test_every_setting_has_an_option_of_its_name() -> None:
    options = {name for parameter in command.params for name in parameter.opts}
    wanted = {f"--{name.replace('_', '-')}" for name in TrainSettings.__struct_fields__} - {"--metrics"}
    assert wanted <= options
    assert options - wanted == {"--recipe", "--out", "--metric"}
    assert set(training_options.NAMES) | {"metrics", "tensorboard"} == set(TrainSettings.__struct_fields__)


def test_every_option_is_explained_under_a_heading() -> None:
    shown = CliRunner().invoke(command, ["--help"]).output
    headings = [line for line in shown.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == [
        "Run:",
        "Data:",
        "Network:",
        "Training:",
        "Augmentation of training pictures, drawn anew in every epoch:",
        "Other:",
    ]
    assert all(parameter.help for parameter in command.params)


def test_what_is_given_becomes_settings() -> None:
    words = [
        "--layers",
        "conv:32x3, pool:2,flatten,dense:128",
        "--no-batchnorm",
        "--mean",
        "0.1,0.2",
        "--train-samples",
        "6000",
    ]
    given = training_options.settings(command.make_context("train", words).params)
    assert given == {
        "layers": ["conv:32x3", "pool:2", "flatten", "dense:128"],
        "batchnorm": False,
        "mean": (0.1, 0.2),
        "train_samples": 6000,
    }


def test_the_folder_is_named_after_the_network() -> None:
    assert str(run_folder(resolve_training({}), None)) == "optkit-train-lenet5"
    own = resolve_training({"layers": ["flatten", "dense:2"]})
    assert network_name(own) == "network"
    assert str(run_folder(own, None)) == "optkit-train-network"
    same = resolve_training({"baseline": "mlp-128", "layers": ["flatten", "dense:128", "dropout:0.2"]})
    assert network_name(same) == "mlp-128"
    assert str(run_folder(same, "x")) == "x"
    with pytest.raises(Exception, match="--out expects the name of a folder"):
        run_folder(same, " ")


def test_python_has_the_command_too() -> None:
    assert optkit.train is train


def test_settings_survive_the_way_to_a_worker() -> None:
    given = resolve_training({"layers": ["flatten", "dense:2"], "l2": 0.1, "metrics": ["auc"], "tensorboard": True})
    assert msgspec.convert(msgspec.to_builtins(given), TrainSettings) == given
