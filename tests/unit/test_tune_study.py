"""The study in its database: what it is about, whose trials are at work, and errors in one line."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from optkit.errors import InputError
from optkit.report.tune_record import Objective, TrialRecord
from optkit.tune import study as studies
from optkit.tune.run import choose, front, run_folder
from optkit.tune.settings import resolve_tuning

if TYPE_CHECKING:
    from pathlib import Path

IDENTITY = {"search space": {"batch": "1..9"}, "objectives": ["accuracy"]}


def opened(url: str, *, is_shared: bool = False, **changed: Any) -> Any:
    return studies.open_study(
        url,
        "one",
        directions=["maximize"],
        identity={**IDENTITY, **changed},
        sampler=studies.make_sampler("random", 0, None),
        pruner=studies.make_pruner("none", 1),
        is_shared=is_shared,
    )


def test_a_study_about_something_else_is_refused_with_the_difference(tmp_path: Path) -> None:
    url = studies.default_url(tmp_path)
    opened(url)
    opened(url)
    with pytest.raises(InputError, match=r"another search space: \{'batch': '1..9'\}.*wanted.*'1..8'.*--study NAME"):
        opened(url, **{"search space": {"batch": "1..8"}})
    with pytest.raises(InputError, match="another objectives"):
        opened(url, objectives=["parameters"])


@pytest.mark.filterwarnings("ignore:Heartbeat of storage")  # Asked by hand.
def test_only_trials_of_dead_processes_are_run_again(tmp_path: Path) -> None:
    study = opened(studies.default_url(tmp_path), is_shared=True)
    gone = subprocess.run(
        [sys.executable, "-c", "from optkit.tune.study import owner; print(owner())"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    owners = [studies.owner(), gone, f"{socket.gethostname()} {os.getpid()} 1", "elsewhere 1 1"]
    for said in owners:
        trial = study.ask()
        trial.suggest_int("batch", 1, 9)
        trial.set_user_attr(studies.OWNER, said)
    assert studies.queue_unfinished(study, is_shared=True) == 2
    assert [trial.state.name for trial in study.trials] == ["RUNNING", "FAIL", "FAIL", "RUNNING", "WAITING", "WAITING"]
    assert study.ask().suggest_int("batch", 1, 9) == study.trials[1].params["batch"]


def test_in_a_run_folder_of_ones_own_whatever_ran_is_gone(tmp_path: Path) -> None:
    study = opened(studies.default_url(tmp_path))
    study.ask().suggest_int("batch", 1, 9)
    assert studies.queue_unfinished(study, is_shared=False) == 1
    assert study.trials[0].state.name == "FAIL"


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////no/such/folder/study.db",
        "nonsense",
        "nobase://a/b",
        "postgresql+psycopg://tuner:secret@127.0.0.1:9/none",
    ],
)
def test_a_database_that_is_not_there_is_one_line_without_its_password(url: str) -> None:
    with pytest.raises(InputError, match="cannot be used") as raised:
        opened(url)
    assert "\n" not in str(raised.value)
    assert "secret" not in str(raised.value)


def test_other_errors_are_not_the_databases() -> None:
    with pytest.raises(ZeroDivisionError), studies.database("sqlite://"):
        raise ZeroDivisionError


def test_a_second_process_takes_the_next_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from optkit import store

    monkeypatch.chdir(tmp_path)
    settings = resolve_tuning({}, ["batch=1,2"])
    name = str(run_folder(settings, None, is_shared=True))
    assert name == "optkit-tune-lenet5"
    store.prepare_folder(tmp_path / name)
    with store.locked(tmp_path / name, "tune"):
        assert str(run_folder(settings, None, is_shared=True)) == f"{name}-2"
        assert str(run_folder(settings, None)) == name


def test_the_front_and_the_choice() -> None:
    objectives = [Objective("accuracy", "maximize", ""), Objective("parameters", "minimize", "")]
    values = [(0.9, 100), (0.8, 50), (0.9, 90), (0.7, 60), (0.9, 90)]
    trials = [
        TrialRecord(number, "complete", {}, {"accuracy": share, "parameters": size}, parameters=size)
        for number, (share, size) in enumerate(values)
    ]
    assert front(trials, objectives) == [1, 2, 4]
    assert choose(trials, objectives).number == 2
    failed = [TrialRecord(0, "failed", {}, reason="too deep")]
    with pytest.raises(InputError, match="no trial could be trained: too deep"):
        choose(failed, objectives)


@pytest.mark.parametrize("name", ["plain", "what?x=1&y", "100%41", "a@b:c #\nü"])
def test_the_study_is_in_its_folder_whatever_that_is_called(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with studies.database(studies.default_url(tmp_path / name)):
        studies._storage(studies.default_url(tmp_path / name), is_shared=False)
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.db")] == [f"{name}/study.db"]
