"""``optkit tune`` as a user has it: the better settings are found, and a killed search goes on where it was."""

from __future__ import annotations

import os
import signal
import tomllib
from typing import TYPE_CHECKING

import pytest
from conftest import Result, optkit
from tuning import RATES, SMALL, finished, read, rows, stages, start, tune, wait_until

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A finished search of two rates, one of them far too low."""
    folder = tmp_path_factory.mktemp("tune") / "run"
    return folder, tune(folder, *RATES, "--sampler", "grid")


def test_the_better_of_two_rates_is_found(searched: tuple[Path, Result]) -> None:
    folder, result = searched
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    report = read(folder)
    by_rate = {trial["settings"]["learning_rate"]: trial["values"]["accuracy"] for trial in report["trials"]}
    assert by_rate["0.01"] > by_rate["1e-6"] + 0.2
    assert report["trials"][report["chosen"]]["settings"] == {"learning_rate": "0.01"}
    best = tomllib.loads((folder / "best.toml").read_text())["settings"]
    assert best["learning_rate"] == 0.01
    assert best["layers"] == ["flatten", "dense:32"]


def test_the_test_part_judges_one_model_trained_on_all_the_rest(searched: tuple[Path, Result]) -> None:
    folder, _ = searched
    report = read(folder)
    final = report["final"]
    assert (final["trained_on"], final["tested_on"]) == (6_000, 10_000)
    assert final["accuracy"] == final["correct"] / 10_000 > 0.7
    assert final["ci95"][0] < final["accuracy"] < final["ci95"][1]
    assert all((folder / name).stat().st_size > 0 for name in final["files"])
    # Shares of 5,000 validation images, never of 10,000 test images.
    for trial in report["trials"]:
        share = trial["values"]["accuracy"] * 5_000
        assert share == pytest.approx(round(share), abs=1e-6)


def test_the_pages_say_the_same(searched: tuple[Path, Result]) -> None:
    folder, result = searched
    page, text = (folder / "tune.html").read_text(), (folder / "tune.md").read_text()
    accuracy = f"{100 * read(folder)['final']['accuracy']:.2f} %"
    assert accuracy in page
    assert accuracy in text
    assert accuracy in result.stdout
    assert "default-src 'none'" in page
    assert "<script" not in page


def test_what_was_chosen_trains(searched: tuple[Path, Result], tmp_path: Path) -> None:
    folder, _ = searched
    result = optkit("train", "--recipe", str(folder / "best.toml"), "--out", str(tmp_path / "train"))
    assert result.returncode == 0, result.stderr


def test_the_same_again_trains_nothing(searched: tuple[Path, Result]) -> None:
    folder, _ = searched
    before, report = stages(folder), read(folder)
    again = tune(folder, *RATES, "--sampler", "grid")
    assert again.returncode == 0, again.stderr
    assert stages(folder) == before
    assert read(folder)["trials"] == report["trials"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--search", "learning_rate=1e-6,0.02", "--sampler", "grid"), "another search space"),
        ((*RATES, "--objective", "accuracy", "--objective", "parameters"), "another objectives"),
        ((*RATES, "--validation", "kfold:2"), "another validation"),
    ],
)
def test_a_study_about_something_else_is_refused(
    searched: tuple[Path, Result], arguments: tuple[str, ...], words: str
) -> None:
    folder, _ = searched
    refused = tune(folder, *arguments)
    assert refused.returncode == 2
    assert words in refused.stderr
    assert "--study NAME" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_killed_in_mid_study_it_goes_on(tmp_path: Path) -> None:
    folder, space = tmp_path / "run", ("--search", "batch=16..128", "--trials", "4")
    url = f"sqlite:///{folder}/study.db"
    process = start(folder, *space)
    wait_until(lambda: finished(url) >= 2, process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    kept = stages(folder)
    running = rows(url, "select param_value from trial_params join trials using (trial_id) where state = 'RUNNING'")
    assert len(kept) >= 2
    result = tune(folder, *space)
    assert result.returncode == 0, result.stderr
    trials = read(folder)["trials"]
    assert [trial["state"] for trial in trials] == ["complete"] * 4
    # What was finished was not trained again; what was running was.
    after = stages(folder)
    assert {key: after[key] for key in kept} == kept
    assert {value for (value,) in running} <= {trial["settings"]["batch"] for trial in trials}


def test_several_worker_processes_and_folds(tmp_path: Path) -> None:
    result = tune(
        tmp_path / "run",
        *("--search", "learning_rate=0.001,0.01", "--search", "batch=32,64", "--sampler", "grid"),
        *("--jobs", "2", "--validation", "stratified:2"),
    )
    assert result.returncode == 0, result.stderr
    report = read(tmp_path / "run")
    assert len({str(trial["settings"]) for trial in report["trials"]}) == 4
    for trial in report["trials"]:
        assert len(trial["scores"]) == 2
        assert trial["mean"] == pytest.approx(sum(trial["scores"]) / 2)
        assert trial["spread"] == pytest.approx(abs(trial["scores"][0] - trial["scores"][1]) / 2**0.5)
    assert report["importance"] == {}


def test_several_objectives_have_a_front(tmp_path: Path) -> None:
    result = tune_layers(tmp_path / "run")
    assert result.returncode == 0, result.stderr
    report = read(tmp_path / "run")
    values = {trial["number"]: trial["values"] for trial in report["trials"]}
    assert all(one["latency"] > 0 and one["parameters"] > 6_000 for one in values.values())
    for number, one in values.items():
        beaten = any(
            other != one and other["accuracy"] >= one["accuracy"] and other["latency"] <= one["latency"]
            and other["parameters"] <= one["parameters"]
            for other in values.values()
        )  # fmt: skip
        assert (number in report["front"]) != beaten
    for trial in report["trials"]:
        low, high = trial["time"]["ci95"]
        assert low <= trial["values"]["latency"] <= high
    wide = next(trial for trial in report["trials"] if trial["settings"]["layers"] == "flatten,dense:1024")
    narrow = next(trial for trial in report["trials"] if trial["settings"]["layers"] == "flatten,dense:8")
    assert wide["values"]["latency"] > 2 * narrow["values"]["latency"]


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_bad_trials_are_ended_early(tmp_path: Path, pruner: str) -> None:
    rates = "learning_rate=0.003,0.005,0.01,0.02,1e-7,1e-8,1e-9,1e-10"
    result = tune(tmp_path / "run", "--search", rates, "--sampler", "grid", "--pruner", pruner, "--epochs", "4")
    assert result.returncode == 0, result.stderr
    trials = read(tmp_path / "run")["trials"]
    assert len(trials) == 8
    pruned = [trial for trial in trials if trial["state"] == "pruned"]
    assert pruned
    assert all(0 < len(trial["reported"]) < 4 and trial["values"] == {} for trial in pruned)
    complete = [trial for trial in trials if trial["state"] == "complete"]
    assert all(len(trial["reported"]) == 4 for trial in complete)
    best = max(trial["values"]["accuracy"] for trial in complete)
    assert best > max(max(trial["reported"]) for trial in pruned)


def tune_layers(folder: Path) -> Result:
    fixed = ("--baseline", "mlp-128", "--train-samples", "1000", "--epochs", "1", "--out", str(folder))
    objectives = ("--objective", "accuracy", "--objective", "parameters", "--objective", "latency")
    return optkit(
        "tune", "--search", "layers=flatten,dense:8|flatten,dense:1024", "--sampler", "grid", *objectives, *fixed
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "there is nothing to search"),
        (("--search", "learning_rat=1..2"), "unknown knob"),
        (("--search", "learning_rate=0.1..0.1"), "from a lower to a higher value"),
        (("--search", "dropout=0..1.5"), "dropout"),
        (("--search", "batch=1.5..3"), "batch"),
        (("--search", "layers=dense:0|dense:8"), "dense"),
        (("--search", "seed=1,2"), "says on what is trained"),
        ((*RATES, "--learning-rate", "0.1"), "as well"),
        ((*RATES, *RATES), "is given twice"),
        ((*RATES, "--trials", "0"), "trials"),
        ((*RATES, "--time", "soon"), "--time expects"),
        ((*RATES, "--sampler", "guess"), "sampler"),
        ((*RATES, "--objective", "beauty"), "--objective"),
        ((*RATES, "--validation", "kfold:1"), "2 to 100 parts"),
        ((*RATES, "--validation", "kfold:x"), "--validation expects"),
        ((*RATES, "--pruner", "median", "--objective", "accuracy", "--objective", "parameters"), "--pruner"),
        ((*RATES, "--objective", "latency", "--jobs", "2"), "leave out --jobs"),
        ((*RATES, "--storage", "postgresql+psycopg://nobody@127.0.0.1:9/none"), "cannot be used"),
        ((*RATES, "--storage", "nonsense"), "cannot be used"),
    ],
)
def test_bad_input_ends_before_any_work(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    fixed = [one for one in SMALL if not (("layers" in str(arguments)) and one in {"--layers", "flatten,dense:32"})]
    result = optkit("tune", *fixed, *arguments, "--out", str(tmp_path / "run"))
    assert result.returncode == 2, result.stderr
    assert words in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.rglob("cache/*.json"))
