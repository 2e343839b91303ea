"""The usual cures of what a learning curve shows, with the option of ``optkit train`` that applies each."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from optkit.report.train_record import Cure
from optkit.training.plan import DEFAULT_RATES

if TYPE_CHECKING:
    from optkit.networks import Network
    from optkit.training import TrainingPlan


class Facts(NamedTuple):
    """What a curve is read against.

    Attributes:
        train_examples: Training examples in use.
        all_train_examples: Training examples that there are.
        validation_examples: Validation examples that the curve looks at.
        largest_class: Share of the most frequent class in training; ``None`` for regression.
        constant_loss: Loss of the best constant answer in regression, else ``None``.
        network: Every knob of the network.
        plan: Every knob of training.
        are_pictures: Whether examples can be shifted and turned.
        is_normalized: Whether raw values are rescaled.
        kept_epoch: The epoch, from 1, whose weights were kept.
    """

    train_examples: int
    all_train_examples: int
    validation_examples: int
    largest_class: float | None
    constant_loss: float | None
    network: Network
    plan: TrainingPlan
    are_pictures: bool
    is_normalized: bool
    kept_epoch: int

    @property
    def penalty(self) -> bool:
        """Whether weights are penalized."""
        return self.network.l1 > 0 or self.network.l2 > 0

    @property
    def rate_against_default(self) -> float:
        """The learning rate over the optimizer's customary one."""
        return self.plan.learning_rate / DEFAULT_RATES[self.plan.optimizer]


def diverging(facts: Facts) -> list[Cure]:
    """Lower the rate; then what makes a rate bearable."""
    found = [_rate(facts, facts.plan.learning_rate / 10, "a tenth of the learning rate")]
    if not facts.is_normalized:
        found.append(Cure("inputs of mean 0 and deviation 1", "--normalize standard"))
    if not facts.plan.warmup_epochs and facts.plan.epochs > 1:
        found.append(Cure("a rate that rises slowly at first", "--warmup-epochs 1"))
    if not facts.network.batchnorm:
        found.append(Cure("batch normalization", "--batchnorm"))
    return found


def overfitting(facts: Facts, *, best_epoch: int) -> list[Cure]:
    """Stop in time, more data, a network that remembers less."""
    found = []
    if not facts.plan.early_stopping and best_epoch:
        found.append(Cure("stop when the validation loss no longer falls", "--early-stopping 3"))
    if facts.train_examples < facts.all_train_examples:
        found.append(Cure("more training examples", f"--train-samples {facts.all_train_examples}"))
    if facts.are_pictures and not facts.plan.augmentation.any:
        found.append(Cure("augmented pictures", "--shift 0.1 --rotation 10"))
    if not _drops(facts):
        found.append(Cure("dropout", "--dropout 0.5"))
    if not facts.penalty:
        found.append(Cure("a penalty on large weights", "--l2 0.0001"))
    found.append(Cure("fewer units or layers", "--layers"))
    return found


def underfitting(facts: Facts) -> list[Cure]:
    """Less that holds the network back, then a larger network."""
    found = []
    if facts.network.l2:
        found.append(Cure("no penalty on weights' squares", "--l2 0"))
    if facts.network.l1:
        found.append(Cure("no penalty on weights' absolute values", "--l1 0"))
    if _drops(facts):
        found.append(Cure("less dropout", "--dropout 0.1"))
    found.append(Cure("more units or layers", "--layers"))
    if facts.network.activation in {"sigmoid", "tanh", "linear"}:
        found.append(Cure("an activation that lets gradients through", "--activation relu"))
    if facts.plan.augmentation.any:
        found.append(Cure("less augmentation", ""))
    found.append(Cure("more epochs", f"--epochs {2 * facts.plan.epochs}"))
    return found


def too_slow(facts: Facts) -> list[Cure]:
    """Raise the rate; then what goes further at the same rate."""
    found = [_rate(facts, 10 * facts.plan.learning_rate, "ten times the learning rate")]
    if facts.plan.optimizer == "sgd" and not facts.plan.momentum:
        found.append(Cure("momentum", "--momentum 0.9"))
    if facts.plan.optimizer in {"sgd", "adagrad"}:
        found.append(Cure("an optimizer with a rate for each weight", "--optimizer adam --momentum 0"))
    if not facts.is_normalized:
        found.append(Cure("inputs of mean 0 and deviation 1", "--normalize standard"))
    found.append(Cure("more epochs", f"--epochs {5 * facts.plan.epochs}"))
    return found


def still_improving(facts: Facts) -> list[Cure]:
    """Go on, until it stops by itself."""
    return [Cure("twice the epochs, until nothing is gained", f"--epochs {2 * facts.plan.epochs} --early-stopping 3")]


def _rate(facts: Facts, wanted: float, words: str) -> Cure:
    """A rate ten times off; where that is not enough to come to the customary one, that one."""
    usual = DEFAULT_RATES[facts.plan.optimizer]
    if (facts.plan.learning_rate - usual) * (wanted - usual) > 0:
        return Cure("the optimizer's customary learning rate", f"--learning-rate {usual:g}")
    return Cure(words, f"--learning-rate {min(wanted, 100.0):g}")


def _drops(facts: Facts) -> bool:
    return facts.network.dropout > 0 or any(words.startswith("dropout") for words in facts.network.layers)
