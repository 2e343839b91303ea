"""Which recipes a search tries, cheap ones first: each round follows from what is known after the ones before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from optkit import recipes, registry
from optkit.errors import InputError
from optkit.schema import Recipe
from optkit.search import shares, students, tuned
from optkit.search.probes import Known, text_of
from optkit.store import digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.search.budget import Budget

# Two are trained at a time on this machine: two cost little more than one.
BATCH = 2
MOST_AT_ONCE = 10_000
PLAIN = ("fp32", "int8")
CHEAP = "no training"
EXCLUDED = "layers in float"
TRAINED = "int8 training"
GIVEN = "given"
SHRINK = "amounts"
TUNED = "tuned"


class Round(NamedTuple):
    """Recipes that are made and judged together; common beginnings are trained once."""

    stage: str
    recipes: list[Recipe]


def least() -> Round:
    """What is made whatever the time: the reference, and the cheapest that is smaller."""
    return Round(CHEAP, _valid(PLAIN))


def next_round(
    known: Sequence[Known],
    budget: Budget,
    *,
    seed: int,
    given: Sequence[Recipe] = (),
    endless: bool = False,
    batch: int = BATCH,
) -> Round | None:
    """The next recipes to try; ``None`` when there are none.

    Args:
        known: All recipes tried, in order, with their files.
        budget: What is wanted.
        seed: Of the drawing.
        given: Recipes of the user's own, which are then the only ones.
        endless: Whether parameters are drawn for as long as there is time.
        batch: Recipes that are drawn at once. It decides what is tried, and so does not depend on what runs them.
    """
    tried = {one.recipe for one in known}
    for stage, wanted in _stages(given, known, budget):
        missing = [recipe for recipe in wanted if text_of(recipe) not in tried]
        if missing:
            return Round(stage, missing)
    if given or not _can_train(known) or _is_whole_within(known, budget):
        return None
    steps: list[tuple[str, list[Recipe]]] = [
        (students.STAGE, students.next_recipes(known, budget, batch)),
        (SHRINK, shares.next_recipes(known, budget, batch)),
        (TUNED, tuned.next_recipes(known, budget, seed=seed, endless=endless, batch=batch)),
    ]
    for stage, wanted in steps:
        missing = [recipe for recipe in wanted if text_of(recipe) not in tried]
        if missing:
            taken = {file.name for one in known for file in one.files}
            return Round(stage, _apart([named(recipe) for recipe in missing], taken))
    return None


def _apart(wanted: Sequence[Recipe], taken: set[str]) -> list[Recipe]:
    """Recipes of which none has a name that another one has: two may have equal values of different parameters."""
    found: list[Recipe] = []
    for recipe in wanted:
        others = taken | {one.name for one in found}
        unlike = f"{recipe.name.rpartition('+')[0]}-{digest(recipe.steps)[:6]}+{recipe.precision.name}"
        found.append(Recipe(unlike, recipe.steps) if recipe.name in others else recipe)
    return found


def _stages(given: Sequence[Recipe], known: Sequence[Known], budget: Budget) -> list[tuple[str, list[Recipe]]]:
    """The rounds that come first, in order."""
    if given:
        return [(GIVEN, [*_valid(PLAIN[:1]), *given])]
    untrained = [name for name in registry.names("techniques") if not _trains(name)]
    precisions = ["fp32", *(name for name in recipes.precisions() if name != "fp32")]
    return [
        (CHEAP, _valid([*precisions, *(f"{name}+int8" for name in untrained)])),
        (EXCLUDED, _excluding(known, budget)),
        (TRAINED, _valid(["qat+int8"])),
    ]


def _excluding(known: Sequence[Known], budget: Budget) -> list[Recipe]:
    """Where plain int8 loses too much, the same with as few layers in float as it takes."""
    limit = budget.limit("drop")
    whole = [file for one in known if one.recipe == PLAIN[1] for file in one.files]
    loses = any(standing.name == "drop" and not standing.met for file in whole for standing in file.standings)
    return [] if limit is None or not loses else _valid([f"{PLAIN[1]}:drop={limit.words}"])


def _trains(technique: str) -> bool:
    """Every technique that trains has ``epochs``."""
    return "epochs" in registry.load("techniques", technique).Params.__struct_fields__


def _can_train(known: Sequence[Known]) -> bool:
    """Whether recipes that train can be made of this model at all: a SavedModel, for one, cannot be trained."""
    trained = [one for one in known if one.stage == TRAINED]
    return not trained or any(file.state != "not made" for one in trained for file in one.files)


def _is_whole_within(known: Sequence[Known], budget: Budget) -> bool:
    """Whether the most accurate file is wanted and a whole network is within the limits: less of it is no better."""
    within = any(file.state == "within" for one in known for file in one.files)
    return budget.prefer == "accuracy" and within and all(one.stage in {CHEAP, TRAINED, EXCLUDED} for one in known)


def _valid(texts: Sequence[str]) -> list[Recipe]:
    """The recipes that the plug-ins that are there can make."""
    found = []
    for text in texts:
        try:
            found.append(named(recipes.parse(text)))
        except InputError:
            continue
    return found


def named(recipe: Recipe) -> Recipe:
    """A recipe whose name has all values that are not the defaults, and so does not change with its rivals."""
    parts = []
    for step in recipe.steps:
        words = [step.name]
        usual = recipes.defaults(step.name)
        words += [_in_a_name(value) for key, value in step.params.items() if value != usual[key]]
        parts.append("-".join(words))
    return Recipe("+".join(parts), recipe.steps)


def _in_a_name(value: Any) -> str:
    """A value in the letters that names have."""
    text = f"{value:g}" if isinstance(value, float) else str(value).lower()
    return "".join(letter if (letter.isalnum() and letter.isascii()) or letter == "." else "-" for letter in text)
