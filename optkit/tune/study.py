"""The study: all trials in a database that Optuna keeps, opened, checked and mended before it is gone on with."""

from __future__ import annotations

import datetime as dt
import logging
import os
import socket
import textwrap
import threading
import time
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from optkit import store
from optkit.errors import InputError, OptkitError
from optkit.pipeline.run_log import LOG

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from optuna.storages import RDBStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

SAMPLERS = ("tpe", "random", "grid")
PRUNERS = ("none", "median", "hyperband")
# What a study is about; another one is refused.
IDENTITY = "optkit"
OWNER = "owner"
# A process of another machine that says nothing for so long is gone, and its trials are run again.
HEARTBEAT_SECONDS = 15
GRACE_SECONDS = 60
LOOK_SECONDS = 1.0
TRIES = 5


@contextmanager
def database(url: str) -> Iterator[None]:
    """Errors of the database in one line.

    Raises:
        InputError: It is not there, is none, or the connection was lost; finished trials are kept.
    """
    import optuna

    # What it would print on the screen comes as an error as well, which log.txt gets.
    optuna.logging.disable_default_handler()
    for name in ("optuna", "sqlalchemy", "psycopg"):
        logging.getLogger(name).addHandler(logging.NullHandler())
    # A heartbeat that fails does so in a thread of its own; the search itself will say what is wrong.
    previous = threading.excepthook
    # Heartbeats are "experimental" in every Optuna since 2.8.
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    threading.excepthook = lambda one: LOG.warning("heartbeat: %s", one.exc_value)
    try:
        yield
    except OptkitError:
        raise
    except Exception as error:
        cause = _of_database(error)
        if cause is None:
            raise
        # What the database's own library said, without SQLAlchemy's statement and links.
        reason = textwrap.shorten(str(getattr(cause, "orig", None) or cause), 200, placeholder=" …")
        raise InputError(
            f"the study's database {without_password(url)} cannot be used: {reason}; see that it is there, then run "
            "the same command again: finished trials are kept"
        ) from error
    finally:
        threading.excepthook = previous


def _of_database(error: BaseException | None) -> BaseException | None:
    """What went wrong in the database; Optuna's own clearing up may have failed after it."""
    import optuna
    import sqlalchemy

    errors = sqlalchemy.exc
    kinds = (errors.DBAPIError, errors.SQLAlchemyError, ImportError, optuna.exceptions.StorageInternalError)
    seen = []
    while error is not None:
        seen.append(error)
        error = error.__cause__ or error.__context__
    # The most exact one, and of these the first that happened.
    return next((one for kind in kinds for one in reversed(seen) if isinstance(one, kind)), None)


def without_password(url: str) -> str:
    """The address as it may be shown."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return repr(url)


def open_study(
    url: str,
    name: str,
    *,
    directions: Sequence[Literal["minimize", "maximize"]],
    identity: Mapping[str, Any],
    sampler: Any,
    pruner: Any,
    is_shared: bool,
) -> Study:
    """Open or begin a study.

    Args:
        url: A database that SQLAlchemy knows.
        name: Of the study.
        directions: ``minimize`` or ``maximize`` for each objective.
        identity: What the study is about; one that exists must be about the same.
        sampler: Optuna's.
        pruner: Optuna's.
        is_shared: Whether other machines may work on it, whose silence shows that they are gone.

    Raises:
        InputError: The database cannot be used, or the study is about something else.
    """
    import optuna

    with database(url):
        storage = _storage(url, is_shared=is_shared)
        study = optuna.create_study(
            storage=storage,
            study_name=name,
            directions=list(directions),
            sampler=sampler,
            pruner=pruner,
            load_if_exists=True,
        )
        known = study.user_attrs.get(IDENTITY)
        if known is None and not study.trials:
            study.set_user_attr(IDENTITY, dict(identity))
            known = dict(identity)
    if known != dict(identity):
        _refuse(name, known or {}, identity)
    return study


def _storage(url: str, *, is_shared: bool) -> RDBStorage:
    """The database with Optuna's tables; of several processes that start at once, one makes them."""
    import optuna
    import sqlalchemy

    for attempt in range(TRIES):
        try:
            return optuna.storages.RDBStorage(
                url,
                heartbeat_interval=HEARTBEAT_SECONDS if is_shared else None,
                grace_period=GRACE_SECONDS if is_shared else None,
                heartbeat_stale_trial_callback=_again if is_shared else None,
            )
        except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            if "already exists" not in str(error) or attempt == TRIES - 1:
                raise
        time.sleep(LOOK_SECONDS)
    raise AssertionError


def _again(study: Study, trial: Any) -> None:
    """Queue a trial whose process is gone."""
    study.enqueue_trial(trial.params)


def _refuse(name: str, known: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    differing = [key for key in wanted if known.get(key) != wanted[key]] or ["what it is about"]
    one = differing[0]
    raise InputError(
        f"the study {name!r} exists with another {one}: {known.get(one)!r}, wanted {wanted.get(one)!r}; give the same, "
        "or begin another study: --study NAME, or another --out"
    )


def owner() -> str:
    """This process, told apart from another one with the same number."""
    started = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    return f"{socket.gethostname()} {os.getpid()} {started}"


def _is_gone(said: str) -> bool:
    """Whether a process of this machine is no longer there; of others that cannot be told."""
    host, pid, started = said.split(" ")
    if host != socket.gethostname():
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19] != started
    except OSError:
        return True


def queue_unfinished(study: Study, *, is_shared: bool) -> int:
    """Queue what was running when a process of this machine was killed; returns how many trials that were.

    Args:
        study: The study.
        is_shared: Whether others may be working on it; else whoever did is gone.
    """
    from optuna.trial import TrialState

    found = 0
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if not is_shared or _is_gone(trial.user_attrs.get(OWNER, "another 0 0")):
            study.tell(trial.number, state=TrialState.FAIL)
            study.enqueue_trial(trial.params, user_attrs={"again": trial.number})
            found += 1
    return found


def wait_for_others(study: Study) -> None:
    """Wait until no other process is at a trial, so that all of them choose from the same trials."""
    import optuna
    from optuna.trial import TrialState

    while any(_is_at_work(one) for one in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))):
        optuna.storages.fail_stale_trials(study)
        time.sleep(LOOK_SECONDS)


def _is_at_work(trial: FrozenTrial) -> bool:
    """Whether somebody may be at a running trial; one that nobody claims was begun by a process killed in the act."""
    said = trial.user_attrs.get(OWNER)
    if said is not None:
        return not _is_gone(said)
    begun = trial.datetime_start
    return begun is not None and (dt.datetime.now() - begun).total_seconds() < GRACE_SECONDS  # noqa: DTZ005  # as Optuna's


def claim(trial: Trial) -> None:
    """Note whose trial it is."""
    trial.set_user_attr(OWNER, owner())


def make_sampler(name: str, seed: int, grid: Mapping[str, Sequence[Any]] | None) -> Any:
    """Optuna's sampler; ``tpe`` as Watanabe describes it (2023, arXiv:2304.11127)."""
    import optuna

    if name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    if name == "grid":
        return optuna.samplers.GridSampler(dict(grid or {}), seed=seed)
    return optuna.samplers.TPESampler(seed=seed, constant_liar=True, n_startup_trials=8)


def make_pruner(name: str, epochs: int) -> Any:
    """Optuna's pruner: ``hyperband`` as Li et al. (2018, arXiv:1603.06560), ``median`` after two epochs."""
    import optuna

    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=max(1, epochs), reduction_factor=3)
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1)
    return optuna.pruners.NopPruner()


def default_url(folder: Path) -> str:
    """The study's own file in the run folder."""
    from sqlalchemy.engine import URL

    # Signs such as % and ? mean something in an address, and would lead to another file.
    path = str((folder / "study.db").resolve())
    return URL.create("sqlite", database=path).render_as_string(hide_password=False)


def trial_key(settings: Mapping[str, Any], protocol: str, threads: int, code: str, data_sha256: str) -> str:
    """What decides a trial's result: the same one is never trained twice."""
    return store.digest([dict(settings), protocol, threads, code, data_sha256])
