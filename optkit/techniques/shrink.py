"""Structured pruning: whole filters, channels and units go, and what is left is a smaller dense network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from msgspec import Meta, Struct

from optkit.errors import InputError, InternalError, UnreachableError
from optkit.schema import Check
from optkit.techniques import Applied, Work, copy_model
from optkit.techniques._shrink import choice, notes, promises, rebuilding, scores, statistics
from optkit.techniques._shrink.follow import follow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np

    from optkit.schema import KernelExpectation, LayerNote
    from optkit.techniques._shrink.channels import Followed, Path
    from optkit.workers import Tell

SUMMARY = (
    "removes whole filters, channels and units and rebuilds a smaller dense network: fewer bytes and less arithmetic "
    "on every runtime"
)
SOURCE = (
    "Li et al., Pruning filters for efficient ConvNets, 2017, arXiv:1608.08710; what goes together: Fang et al., "
    "DepGraph, 2023, arXiv:2301.12900; scores: Liu et al., 2017, arXiv:1708.06519, and Molchanov et al., 2019, "
    "arXiv:1906.10771, eq. 8"
)
NOT_AFTER = {
    "prune": "training on would fill the zeros again; put shrink first",
    "cluster": "training on would part the clusters again; put shrink first",
    "qat": "the quantizers would keep ranges of channels that are gone; put shrink first",
}
# It is made only where it was asked for by name, with a goal: what cannot be had ends the run.
STOPS = True
# A goal in bytes is measured on files.
EXPORTS = True
# Scorings in each step: with fewer, channels that could stand in for each other all go at once.
TURNS = 8
GOALS = ("channels", "macs", "parameters", "bytes")
Goal = Annotated[int, Meta(gt=0)] | Annotated[float, Meta(gt=0)] | None


class Params(Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters. Goals say what may be left: up to 1 a share of the source model's, above it a number.

    Attributes:
        channels: Goal for filters and units, outputs of the model not counted. Give one goal; half of the
            multiply-accumulates where none is given.
        macs: Goal for multiply-accumulates of convolutions and dense layers per example.
        parameters: Goal for all weights of the Keras model.
        bytes: Goal for the ``.tflite`` file that the shrunk model gives at ``precision``.
        precision: Precision of the file that ``bytes`` is about.
        score: Importance of a channel: ``l1`` or ``l2`` norm of its weights, scale of its ``batch-norm``, mean
            ``activation``, or ``taylor``, the change of the loss without it to first order.
        scope: ``global`` compares the channels of all layers, ``layer`` takes the same share of each.
        steps: Channels go in so many steps, with training after each; each leaves the same share of what the goal is
            about.
        epochs: Epochs of training in all, the rest of an uneven division after the last step.
        learning_rate: Adam's initial rate (cosine to zero) after each step.
    """

    channels: Goal = None
    macs: Goal = None
    parameters: Goal = None
    bytes: Goal = None
    precision: Literal["fp32", "fp16", "dynamic", "int8", "int16x8", "int4"] = "int8"
    score: Literal["l1", "l2", "batch-norm", "taylor", "activation"] = "taylor"
    scope: Literal["global", "layer"] = "global"
    steps: Annotated[int, Meta(ge=1, le=100)] = 1
    epochs: Annotated[int, Meta(ge=0, le=1000)] = 4
    learning_rate: Annotated[float, Meta(gt=0, le=0.1)] = 2e-3

    def __post_init__(self) -> None:
        """Parameters that contradict each other.

        Raises:
            ValueError: Two goals, or more steps than epochs.
        """
        given = [name for name in GOALS if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"expected one goal, found {' and '.join(given)}")
        if self.steps > max(1, self.epochs):
            raise ValueError(f"expected at least one epoch for each of the {self.steps} steps, found {self.epochs}")

    @property
    def goal(self) -> tuple[str, int | float]:
        """What the goal is about, and how much may be left."""
        return next(((name, amount) for name in GOALS if (amount := getattr(self, name)) is not None), ("macs", 0.5))

    @property
    def epochs_of_steps(self) -> list[int]:
        """Epochs after each step."""
        each = self.epochs // self.steps
        return [each] * (self.steps - 1) + [self.epochs - each * (self.steps - 1)]


class _Sized(NamedTuple):
    """A model with what is known of its channels."""

    model: Any
    followed: Followed
    others: int

    def left(self, what: str, keep: np.ndarray) -> int:
        """Channels, multiply-accumulates or parameters of the model with these groups."""
        return int(getattr(choice.cost(self.followed, keep, self.others), what))

    def without(self, keep: np.ndarray) -> Any:
        """The model with these groups."""
        return self.model if keep.all() else rebuilding.rebuild(self.model, self.followed, keep)

    @property
    def whole(self) -> np.ndarray:
        """All groups."""
        return choice.keep_of(self.followed, [])


def _sized(model: Any, work: Work) -> _Sized:
    followed = follow(model, work.skip_layers)
    return _Sized(model, followed, choice.uncut_parameters(followed, model.count_params()))


def file_bytes(model: Any, work: Work) -> int:
    """Bytes of the ``.tflite`` file that a model gives at the precision of the goal."""
    if work.file_bytes is None:
        raise InternalError("shrink: a goal in bytes needs an exporter, and none was given")
    return work.file_bytes(model, work.params.precision)


def limit_of(params: Params, source: int) -> int:
    """The most that may be left, of what the source model has."""
    _, amount = params.goal
    return int(amount if amount > 1 else amount * source)


def requires(model: Any, work: Work) -> str | None:
    """At least one channel must be one that can go."""
    followed = follow(model, work.skip_layers)
    if choice.order(followed, scores.without_data(model, followed, work.params.score), "global"):
        return None
    if work.params.score == "batch-norm" and choice.order(
        followed, scores.without_data(model, followed, "l1"), "global"
    ):
        return "no channel that can go has a batch normalization with a scale to score it by; choose another score"
    reasons = "; ".join(notes.reasons(followed)) or "no layer makes channels"
    return f"no channel can be removed ({reasons})"


def apply(model: Any, work: Work) -> Applied:
    """Remove channels from a copy, in steps, and train it after each.

    Raises:
        UnreachableError: The goal cannot be reached, or is met already.
        InputError: Weights are no numbers, before or after training.
    """
    from optkit.training import TrainingPlan, train

    params: Params = work.params
    _check_finite(model, "the model has; train it again")
    whole = current = _sized(copy_model(model), work)
    goal = _reach(whole, work)
    epochs, worst = [], 0.0
    for step, count in enumerate(params.epochs_of_steps):
        for turn in range(_turns(params)):
            done = (step + (turn + 1) / _turns(params)) / params.steps
            keep = _choose(current, whole, work, goal, done)
            smaller = current.without(keep)
            worst = max(worst, rebuilding.prove(current.model, current.followed, keep, smaller, work.seed))
            statistics.renew(smaller, work.data, work.seed)
            current = _sized(smaller, work)
        if count:
            plan = TrainingPlan(count, 128, "adam", params.learning_rate, "cosine")
            tell = _told(work.tell, sum(params.epochs_of_steps[:step]), count, params.epochs)
            # Another order of the examples in each step.
            epochs += train(current.model, work.data, plan, task=work.task, seed=work.seed + step, tell=tell)
            _check_finite(current.model, "training after a step gave; choose a lower learning_rate")
    proof = Check(
        "answers of the rebuilt model",
        passed=True,
        observed=worst,
        limit=rebuilding.LIMIT,
        unit="of the largest output",
        reason="before training: against the whole model in which nothing reads the removed channels",
    )
    return Applied(current.model, notes.notes(model, whole.followed, current.followed), epochs, [proof])


def _turns(params: Params) -> int:
    """How often channels are scored in one step: what data say of a channel changes as others go."""
    return TURNS if params.score in {"taylor", "activation"} else 1


class _Reach(NamedTuple):
    """Where it goes: ``source`` and ``limit`` of what the goal is about.

    On the way there ``measure`` stands for it, which is the same but for files: of those it is the parameters, which
    take no export to count, and ``first`` and ``last`` are how many there are and about how many there will be.
    """

    source: int
    limit: int
    measure: str
    first: int
    last: int


def _reach(whole: _Sized, work: Work) -> _Reach:
    """The goal in numbers.

    Raises:
        UnreachableError: It is met already, or cannot be reached.
    """
    params: Params = work.params
    what, _ = params.goal
    going = _order(whole, work, choice.bundle_sizes(whole.followed))
    source = _left(whole, work, whole.whole)
    limit = limit_of(params, source)
    if limit >= source:
        raise UnreachableError(
            f"shrink: {_goal(params, limit)}, the model has {source:,}; ask for less, or leave it out"
        )
    removed = _fewest(whole, work, going, _Reach(source, limit, what, source, limit), limit)
    if what != "bytes":
        return _Reach(source, limit, what, source, limit)
    about = whole.left("parameters", choice.keep_of(whole.followed, going[:removed]))
    return _Reach(source, limit, "parameters", whole.left("parameters", whole.whole), about)


def _left(sized: _Sized, work: Work, keep: np.ndarray) -> int:
    """What the goal is about, of the model with these groups."""
    what, _ = work.params.goal
    return file_bytes(sized.without(keep), work) if what == "bytes" else sized.left(what, keep)


def _order(sized: _Sized, work: Work, source: Mapping[Path, int]) -> list[int]:
    """Groups in the order in which they go; ``source`` has the sizes of the whole model."""
    known = scores.scores(
        sized.model, sized.followed, work.params.score, data=work.data, task=work.task, seed=work.seed
    )
    return choice.order(sized.followed, known, work.params.scope, source)


def _choose(current: _Sized, whole: _Sized, work: Work, goal: _Reach, done: float) -> np.ndarray:
    """Groups that stay, bool [groups], when so much of the way is done: each part of it leaves the same share."""
    going = _order(current, work, choice.bundle_sizes(whole.followed))
    if done < 1:
        wanted = goal.first * (goal.last / goal.first) ** done
        found = choice.fewest(
            len(going),
            wanted,
            lambda count: current.left(goal.measure, choice.keep_of(current.followed, going[:count])),
        )
        # Where this is out of reach the last turn says so.
        return choice.keep_of(current.followed, going[: len(going) if found is None else found])
    return choice.keep_of(current.followed, going[: _fewest(current, work, going, goal, goal.limit)])


def _fewest(sized: _Sized, work: Work, going: list[int], goal: _Reach, limit: int) -> int:
    """How many groups must go.

    Raises:
        UnreachableError: All are not enough.
    """
    measured: dict[int, int] = {}

    def measure(count: int) -> int:
        if count not in measured:
            measured[count] = _left(sized, work, choice.keep_of(sized.followed, going[:count]))
        return measured[count]

    found = choice.fewest(len(going), limit, measure)
    if found is None:
        nearest = measure(len(going))
        raise UnreachableError(
            f"shrink: {_goal(work.params, limit)}, of {goal.source:,}; the least that can be left is {nearest:,} "
            f"({nearest / goal.source:.2%}), with one channel in each layer that can be shrunk: ask for that or more"
        )
    return found


def _goal(params: Params, limit: int) -> str:
    what, amount = params.goal
    unit = {"macs": "multiply-accumulates", "bytes": f"bytes of the {params.precision} .tflite file"}.get(what, what)
    return f"{what}={amount:g} allows {limit:,} {unit}"


def _told(tell: Tell, before: int, epochs: int, in_all: int) -> Callable[[dict[str, Any]], None]:
    """Progress of one step as progress of all of them."""

    def told(message: dict[str, Any]) -> None:
        a_epoch = message["total"] // epochs
        tell(
            message
            | {
                "done": message["done"] + before * a_epoch,
                "total": in_all * a_epoch,
                "epoch": message["epoch"] + before,
                "epochs": in_all,
            }
        )

    return told


def _check_finite(model: Any, whence: str) -> None:
    import numpy as np

    if not all(np.isfinite(weight).all() for weight in model.get_weights()):
        raise InputError(f"shrink: expected finite weights, found NaN or infinity, which {whence}")


def ensures(model: Any, work: Work, notes: Sequence[LayerNote]) -> tuple[list[Check], list[KernelExpectation]]:  # noqa: ARG001  # the plug-in's signature
    """Weights and arithmetic of the new model, counted from it, are what the goal allows, and less than before."""
    what, _ = work.params.goal
    before, after = promises.counts(work.source, work.skip_layers), promises.counts(model, work.skip_layers)
    if what == "bytes":
        before["bytes"], after["bytes"] = file_bytes(work.source, work), file_bytes(model, work)
    limits = {name: limit_of(work.params, amount) if name == what else amount for name, amount in before.items()}
    return promises.checks(before, after, limits, what), promises.kernels(model, work.skip_layers)


__all__ = ["EXPORTS", "NOT_AFTER", "SOURCE", "STOPS", "SUMMARY", "Params", "apply", "ensures", "requires"]
