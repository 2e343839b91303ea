"""Parameters of shrunk networks, drawn by Optuna for small drop, size and time at once, within the limits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from optkit import recipes, registry
from optkit.errors import InputError
from optkit.search import shares
from optkit.search.probes import Known, params_of, probes, text_of
from optkit.search.select import wrong

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optuna.trial import FrozenTrial

    from optkit.schema import Recipe
    from optkit.search.budget import Budget
    from optkit.search_record import TriedFile

STAGE = "tuned"
# As many rounds without --time; with it, as the time allows.
ROUNDS = 4
MOST = 200
STARTUP = 4
EPOCHS = (4, 8, 16)
STEPS = (1, 2, 4)
SCORES = ("taylor", "l2")
RATES = (5e-4, 8e-3)
FIRST: tuple[dict[str, Any], ...] = (
    {"score": "taylor", "steps": 2, "epochs": 8, "learning_rate": 4e-3, "rest": "qat+int8"},
    {"score": "taylor", "steps": 4, "epochs": 8, "learning_rate": 2e-3, "rest": "int8"},
)
# A file that could not be made is worse than any that could.
_WORST = 1e9


def next_recipes(known: Sequence[Known], budget: Budget, *, seed: int, endless: bool, batch: int = 2) -> list[Recipe]:
    """The next recipes that Optuna draws; the same ones for the same knowledge, whatever runs them.

    They are drawn ``batch`` at a time, from what is known of all before: how many run at once, and which is done first,
    has no say in what is drawn. Of those that are drawn together each counts, for the next, as one that came out badly
    ("constant liar": Ginsbourger et al., Kriging is well-suited to parallelize optimization, 2010), so that they are
    not all the same.

    Args:
        known: All recipes tried.
        budget: What is wanted.
        seed: Of the drawing.
        endless: Whether it goes on for as long as there is time.
        batch: How many.
    """
    done = sum(one.stage == STAGE for one in known)
    if done >= (MOST if endless else ROUNDS) * batch or "shrink" not in registry.names("techniques"):
        return []
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    tried = {one.recipe for one in known}
    names = _objectives(budget)
    # Anew in each round: what is known decides what is drawn, also after a run that was killed.
    sampler = optuna.samplers.TPESampler(seed=seed + done, n_startup_trials=STARTUP, constant_liar=True)
    study = optuna.create_study(directions=["minimize"] * len(names), sampler=sampler)
    space = _space(known, budget)
    for one in known:
        drawn = _drawn(one, budget)
        if drawn is not None and all(_is_in(drawn[key], space[key]) for key in space):
            study.add_trial(_told(one.best, budget, names, drawn, space))
    if not done:
        # What helps a small network most, before anything is left to chance.
        share = space["share"]
        met = any(one.good_enough and one.small_enough and one.made for one in probes(known, shares.axis_of(budget)))
        at = math.sqrt(share.low * share.high) if met and budget.prefer != "accuracy" else share.high
        for params in FIRST:
            study.enqueue_trial({"share": at, **params})
    found: list[Recipe] = []
    # A draw may be known already, or not go together.
    for _ in range(10 * batch):
        recipe = _recipe(study.ask(space).params, budget)
        if recipe is not None and recipe[0] not in tried:
            tried.add(recipe[0])
            found.append(recipe[1])
        if len(found) == batch:
            break
    return found


def _is_in(value: Any, distribution: Any) -> bool:
    """Whether a value could have been drawn: bounds move as more is known."""
    choices = getattr(distribution, "choices", None)
    return value in choices if choices is not None else distribution.low <= value <= distribution.high


def _objectives(budget: Budget) -> list[str]:
    """Several at once: the front between them is what the report shows."""
    return ["wrong", "size", *(["time"] if budget.times_matter else [])]


def _space(known: Sequence[Known], budget: Budget) -> dict[str, Any]:
    """What is drawn, and between what: shares about the boundary that bisecting has found."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    found = probes(known, shares.axis_of(budget))
    start = shares.largest_share(known, budget)
    good = [one.share for one in found if one.good_enough and one.small_enough and one.made]
    small = [one.share for one in found if one.small_enough and one.made]
    if budget.prefer == "accuracy":
        high = start if budget.limit("size") is not None else max(good or small, default=start) * 1.15
        low = high * 0.6
    elif good:
        low, high = min(good) / 3, min(good)
    else:
        # None is within the limits: as large as they allow, trained otherwise.
        high = start if budget.limit("size") is not None else max(small, default=start) * 1.15
        low = high * 0.6
    low, high = max(shares.LEAST, low), min(shares.LARGEST, high)
    return {
        "share": FloatDistribution(min(low, high * 0.99), high, log=True),
        "score": CategoricalDistribution(SCORES),
        "steps": CategoricalDistribution(STEPS),
        "epochs": CategoricalDistribution(EPOCHS),
        "learning_rate": FloatDistribution(*RATES, log=True),
        "rest": CategoricalDistribution(_rests()),
    }


def _rests() -> list[str]:
    """What may follow shrinking: nothing, training for int8, and what is registered for small networks."""
    wanted = ("int8", "qat+int8", "distill+int8", "distill+qat+int8", "factorize+int8")
    return [one for one in wanted if _is_valid(f"shrink+{one}")]


def _is_valid(text: str) -> bool:
    try:
        recipes.parse(text)
    except InputError:
        return False
    return True


def _recipe(params: dict[str, Any], budget: Budget) -> tuple[str, Recipe] | None:
    """The recipe of a draw, as text and parsed; ``None`` where its parameters do not go together."""
    share, rate = float(f"{params['share']:.2g}"), float(f"{params['learning_rate']:.2g}")
    text = (
        f"shrink:{shares.axis_of(budget)}={share},score={params['score']},steps={params['steps']},"
        f"epochs={params['epochs']},learning_rate={rate}+{params['rest']}"
    )
    try:
        recipe = recipes.parse(text)
    except InputError:
        return None
    return text_of(recipe), recipe


def _drawn(one: Known, budget: Budget) -> dict[str, Any] | None:
    """The draw that a known recipe is, ``None`` where it is none."""
    given = params_of(one.recipe, "shrink")
    axis = shares.axis_of(budget)
    if given is None or given.get(axis) is None:
        return None
    rest = one.recipe.partition("+")[2]
    wanted = {key: given[key] for key in ("score", "steps", "epochs", "learning_rate")}
    return {"share": float(given[axis]), "rest": rest, **wanted}


def _told(
    best: TriedFile | None, budget: Budget, names: Sequence[str], drawn: dict[str, Any], space: dict[str, Any]
) -> FrozenTrial:
    """A known recipe as a finished trial."""
    import optuna

    figures = {"wrong": _WORST, "size": _WORST, "time": _WORST}
    beyond: dict[str, float] = {limit.name: _WORST for limit in budget.limits}
    if best is not None:
        figures = {"wrong": wrong(best), "size": float(best.file_bytes or _WORST), "time": best.p50_us or _WORST}
        beyond = {one.name: _WORST if one.factor is None else one.factor - 1 for one in best.standings}
    values = [one if math.isfinite(one) else _WORST for one in (figures[name] for name in names)]
    return optuna.trial.create_trial(params=drawn, distributions=space, values=values, constraints=beyond)
