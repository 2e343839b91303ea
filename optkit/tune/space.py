"""The search space: which knobs of training vary, and between what."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from optkit import recipes
from optkit.errors import InputError, nearest
from optkit.pipeline.train_settings import TrainSettings, resolve_training

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# They say on what is trained, not how: trials on different data cannot be compared.
NOT_SEARCHED = (
    "data",
    "scale",
    "mean",
    "std",
    "resize",
    "channels",
    "target",
    "train_samples",
    "metrics",
    "seed",
    "tensorboard",
)
_RANGE = re.compile(r"(?P<low>[^\s,|]+?)\.\.(?P<high>[^\s,|:]+)(?:[\s:]+(?P<log>log))?")


class Dimension(Struct, frozen=True):
    """One knob.

    Attributes:
        name: A field of ``TrainSettings``.
        kind: A ``float`` or whole number (``int``) from ``low`` to ``high``, or one of ``choices``.
        low: Least value of a range.
        high: Greatest value of a range, itself among the values.
        log: Whether equal ratios are equally likely, not equal distances.
        choices: Values as text, as they are given on the command line.
    """

    name: str
    kind: Literal["float", "int", "choice"]
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    choices: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """As the user writes it."""
        if self.kind == "choice":
            return ("|" if self.is_list else ",").join(self.choices)
        low, high = (f"{int(one)}" if self.kind == "int" else f"{one:g}" for one in (self.low, self.high))
        return f"{low}..{high}{' log' if self.log else ''}"

    @property
    def is_list(self) -> bool:
        """Whether a value is itself a list: of layers."""
        return _base_type(self.name) is tuple


def read_space(arguments: Sequence[str], table: Mapping[str, Any], fixed: Mapping[str, Any]) -> tuple[Dimension, ...]:
    """The search space.

    Args:
        arguments: ``NAME=LOW..HIGH``, ``NAME=LOW..HIGH log`` or ``NAME=A,B,C`` (lists of layers: ``NAME=A,B|C,D``).
        table: The same from a TOML file, where choices may be lists; arguments override it.
        fixed: Settings that all trials have.

    Returns:
        By name.

    Raises:
        InputError: There is nothing to search, a knob is unknown or fixed as well, or a value is not for it.
    """
    given: dict[str, str] = {name: _as_text(name, value) for name, value in table.items()}
    named: set[str] = set()
    for argument in arguments:
        name, equals, words = argument.partition("=")
        if not equals or not words.strip():
            raise InputError(
                f"--search expects NAME=LOW..HIGH or NAME=A,B,C, found {argument!r}; for example "
                "learning_rate=1e-4..0.1 log"
            )
        name = name.strip().replace("-", "_")
        if name in named:
            raise InputError(f"--search {name} is given twice; give all its values in one")
        named.add(name)
        given[name] = words.strip()
    if not given:
        raise InputError(
            "there is nothing to search: give --search NAME=LOW..HIGH or NAME=A,B,C, for example --search "
            "'learning_rate=1e-4..0.1 log'"
        )
    space = tuple(_dimension(name, given[name]) for name in sorted(given))
    for one in space:
        if one.name in fixed:
            raise InputError(f"{one.name} is searched and set to {fixed[one.name]!r} as well; leave one of the two out")
    _check_together(space, fixed)
    return space


def _as_text(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, list) or not value:
        raise InputError(f"[search] {name} expects a text such as '0.1..0.5' or a list of choices, found {value!r}")
    texts = [",".join(one) if isinstance(one, list) else _plain(one) for one in value]
    return "|".join(texts)


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _dimension(name: str, words: str) -> Dimension:
    known = [field for field in TrainSettings.__struct_fields__ if field not in NOT_SEARCHED]
    if name not in known:
        reason = "says on what is trained, not how" if name in NOT_SEARCHED else nearest(name, known)
        raise InputError(f"--search {name}: {'it ' if name in NOT_SEARCHED else 'unknown knob, '}{reason}")
    match = _RANGE.fullmatch(words)
    if match and _base_type(name) in {int, float}:
        return _range(name, words, match)
    separator = "|" if "|" in words or _base_type(name) is tuple else ","
    choices = tuple(dict.fromkeys(one.strip() for one in words.split(separator) if one.strip()))
    if len(choices) < 2:
        raise InputError(f"--search {name} expects a range or at least two choices, found {words!r}; or set it")
    for one in choices:
        value_of(name, one)
    return Dimension(name, "choice", choices=choices)


def _range(name: str, words: str, match: re.Match[str]) -> Dimension:
    kind: Literal["int", "float"] = "int" if _base_type(name) is int else "float"
    low, high = value_of(name, match["low"]), value_of(name, match["high"])
    if not low < high:
        raise InputError(f"--search {name} expects a range from a lower to a higher value, found {words!r}")
    if match["log"] and low <= 0:
        raise InputError(f"--search {name}: a range on a log scale begins over 0, found {words!r}")
    return Dimension(name, kind, float(low), float(high), log=match["log"] is not None)


def value_of(name: str, text: str) -> Any:
    """A knob's value from a text.

    Raises:
        InputError: It is none, or out of the knob's range.
    """
    wanted: Any = [one.strip() for one in text.split(",")] if _base_type(name) is tuple else text
    try:
        value = getattr(msgspec.convert({name: wanted}, TrainSettings, strict=False), name)
    except msgspec.ValidationError as error:
        raise InputError(f"--search {recipes.refusal(error, {name: text}, TrainSettings)}") from error
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"--search {name}: {text!r} is no number that training can have")
    # A text that is a choice of another kind (`none`) or a list of layers is read as training will read it.
    resolve_training({name: value} if name in {"layers", "baseline"} else {})
    return value


def _base_type(name: str) -> type:
    """``int``, ``float``, ``bool``, ``tuple``, or ``str`` for one of several words."""
    hint = get_type_hints(TrainSettings)[name]
    kinds = [one for one in (get_args(hint) if get_origin(hint) is not tuple else (hint,)) if one is not type(None)]
    first = kinds[0] if kinds else hint
    origin = get_origin(first) or first
    return origin if origin in {int, float, bool, tuple} else str


def _check_together(space: Sequence[Dimension], fixed: Mapping[str, Any]) -> None:
    """At least one corner of the space must be something that can be trained.

    Raises:
        InputError: What its first values lead to.
    """
    corner = {one.name: value_of(one.name, one.choices[0]) if one.choices else _whole(one, one.low) for one in space}
    resolve_training({**fixed, **corner})


def _whole(one: Dimension, value: float) -> float:
    return int(value) if one.kind == "int" else value


def suggested(trial: Any, space: Sequence[Dimension]) -> dict[str, Any]:
    """The settings that an Optuna trial has drawn from the space."""
    found: dict[str, Any] = {}
    for one in space:
        if one.kind == "choice":
            found[one.name] = value_of(one.name, trial.suggest_categorical(one.name, list(one.choices)))
        elif one.kind == "int":
            found[one.name] = trial.suggest_int(one.name, int(one.low), int(one.high), log=one.log)
        else:
            found[one.name] = trial.suggest_float(one.name, one.low, one.high, log=one.log)
    return found


def grid(space: Sequence[Dimension]) -> dict[str, list[Any]]:
    """All values of each knob, for a search of every combination.

    Raises:
        InputError: A knob has more values than can be listed.
    """
    found: dict[str, list[Any]] = {}
    for one in space:
        if one.kind == "float":
            raise InputError(f"--sampler grid needs choices, {one.name} is a range: give {one.name}=A,B,C")
        found[one.name] = list(one.choices) if one.choices else list(range(int(one.low), int(one.high) + 1))
    return found
