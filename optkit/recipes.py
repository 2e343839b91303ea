"""Recipes: an ordered list of techniques that ends in a precision, from the command line or TOML."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import msgspec

from optkit import registry
from optkit.errors import InputError, nearest
from optkit.schema import Recipe, Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

STANDARD = (
    "fp32",
    "fp16",
    "dynamic",
    "int8",
    "int16x8",
    "prune+fp32",
    "prune+fp16",
    "prune+int8",
    "cluster+int8",
    "qat+int8",
    "prune+qat+int8",
    "prune+cluster+qat+int8",
)
# Of a parameter in a variant's name, which is a file's name.
_LONGEST_VALUE = 40
# Few images make few steps: more epochs let pruning and rounding settle.
QUICK = ("fp32", "int8", "prune:epochs=5+int8", "qat:epochs=2+int8")


def precisions() -> list[str]:
    """Every precision that some exporter writes, sorted."""
    found: set[str] = set()
    for name in registry.names("exporters"):
        found.update(registry.load("exporters", name).PRECISIONS)
    return sorted(found)


def precision_params(name: str) -> type[msgspec.Struct] | None:
    """The record of a precision's parameters; ``None`` where it takes none."""
    for exporter in registry.names("exporters"):
        found: dict[str, type[msgspec.Struct]] = getattr(registry.load("exporters", exporter), "PARAMS", {})
        if name in found:
            return found[name]
    return None


def defaults(step: str) -> dict[str, Any]:
    """The parameters of a technique or precision as they are where none is given."""
    params = (
        registry.load("techniques", step).Params if step in registry.names("techniques") else precision_params(step)
    )
    return {} if params is None else msgspec.to_builtins(params())


def parse(text: str) -> Recipe:
    """Read ``prune:sparsity=0.8,epochs=1+int8``.

    Raises:
        InputError: A step, parameter or value is unknown or out of range.
    """
    steps = []
    for part in text.split("+"):
        name, _, settings = part.partition(":")
        params: dict[str, Any] = {}
        for setting in filter(None, settings.split(",")):
            key, equals, value = setting.partition("=")
            if not equals or not key or not value:
                raise InputError(f"recipe {text!r}: expected KEY=VALUE in step {name!r}, found {setting!r}")
            if key.strip() in params:
                raise InputError(f"recipe {text!r}: parameter {key.strip()!r} is given twice in step {name!r}")
            params[key.strip()] = _value(value.strip())
        steps.append(Step(name.strip(), params))
    return check(steps, text)


def _value(text: str) -> int | float | bool | str:
    if text in {"true", "false"}:
        return text == "true"
    # Python's own number syntax would also take 1_6 and digits of other scripts.
    if re.fullmatch(r"[+-]?[0-9]+", text):
        return int(text)
    if re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text):
        return float(text)
    return text


def check(steps: Sequence[Step], text: str) -> Recipe:
    """Validate steps against the plug-ins that are there and fill in every default.

    Args:
        steps: Techniques in order, then a precision.
        text: The recipe as the user wrote it, for messages.

    Raises:
        InputError: No precision at the end, an unknown or repeated step, an unknown parameter, or a value out of range.
    """
    techniques, known_precisions = list(registry.names("techniques")), precisions()
    if not steps or not steps[-1].name:
        raise InputError(f"recipe {text!r}: expected steps that end in a precision ({', '.join(known_precisions)})")
    for step in steps:
        if step.name not in techniques and step.name not in known_precisions:
            raise InputError(
                f"recipe {text!r}: unknown step {step.name!r}: "
                f"{nearest(step.name.lower(), techniques + known_precisions)} (a recipe file's name ends in .toml)"
            )
    if steps[-1].name not in known_precisions:
        raise InputError(
            f"recipe {text!r}: expected a precision at the end ({', '.join(known_precisions)}), "
            f"found {steps[-1].name!r}; for example prune:sparsity=0.8+int8"
        )
    for step in steps[:-1]:
        if step.name in known_precisions:
            raise InputError(f"recipe {text!r}: the precision {step.name!r} must be the last step")
    repeated = [name for name, count in Counter(step.name for step in steps).items() if count > 1]
    if repeated:
        raise InputError(f"recipe {text!r}: step {repeated[0]!r} is named twice; name it once")
    own = precision_params(steps[-1].name)
    if steps[-1].params and own is None:
        raise InputError(f"recipe {text!r}: the precision {steps[-1].name!r} takes no parameters")
    filled = [_fill(step, registry.load("techniques", step.name).Params, text) for step in steps[:-1]]
    _check_order(filled, steps[-1].name, text)
    last = Step(steps[-1].name) if own is None else _given(_fill(steps[-1], own, text))
    return Recipe("+".join(step.name for step in steps), (*filled, last))


def _given(step: Step) -> Step:
    """A precision without the parameters that it does without: plain ``int8`` stays what it is."""
    return Step(step.name, {key: value for key, value in step.params.items() if value is not None})


def _fill(step: Step, params_type: type[msgspec.Struct], text: str) -> Step:
    known = list(params_type.__struct_fields__)
    for key in step.params:
        if key not in known:
            raise InputError(f"recipe {text!r}: {step.name} has no parameter {key!r}: {nearest(key, known)}")
    try:
        params = msgspec.convert(step.params, params_type)
    except msgspec.ValidationError as error:
        raise InputError(f"recipe {text!r}: {step.name}: {refusal(error, step.params, params_type)}") from error
    return Step(step.name, msgspec.to_builtins(params))


def refusal(error: msgspec.ValidationError, given: Mapping[str, Any], record: type[msgspec.Struct]) -> str:
    """One sentence for a value that a record does not take: its name, what is expected, what was found.

    Args:
        error: What msgspec says, for example ``Expected `int` <= 64 - at `$.threads```.
        given: The values by field name.
        record: The record that they were meant for.
    """
    said, _, place = str(error).partition(" - at ")
    field = place.strip("`").removeprefix("$.").partition("[")[0]
    if field not in given:
        return str(error)
    schema = msgspec.json.schema(get_type_hints(record, include_extras=True)[field])
    # A field that may be left out is one of several kinds.
    choices = next((one["enum"] for one in (schema, *schema.get("anyOf", ())) if "enum" in one), None)
    expected = f"one of {', '.join(map(str, choices))}" if choices else said.removeprefix("Expected ").split(", got")[0]
    expected = expected.replace("`", "").replace("int | float | null", "a number")
    return f"{field.replace('_', '-')} expects {expected}, found {given[field]!r}"


def _check_order(steps: Sequence[Step], precision: str, text: str) -> None:
    """A step may say which steps it cannot follow: pruning after clustering would break the clusters.

    One that prepares the weights for a precision must be the last before it.
    """
    for index, step in enumerate(steps):
        wanted = getattr(registry.load("techniques", step.name), "LAST_BEFORE", None)
        if wanted is not None and (index + 1 < len(steps) or precision not in wanted):
            after = steps[index + 1].name if index + 1 < len(steps) else precision
            raise InputError(
                f"recipe {text!r}: {step.name} expects to be the last step before one of {', '.join(wanted)}, found "
                f"{after} after it; for example {step.name}+{wanted[0]}"
            )
        before = {earlier.name for earlier in steps[:index]}
        refused = before & set(getattr(registry.load("techniques", step.name), "NOT_AFTER", {}))
        for name in sorted(refused):
            reason = registry.load("techniques", step.name).NOT_AFTER[name]
            raise InputError(f"recipe {text!r}: {step.name} cannot follow {name}: {reason}")


class _Table(msgspec.Struct, forbid_unknown_fields=True):
    steps: list[Step]


class _File(msgspec.Struct, forbid_unknown_fields=True):
    recipe: list[_Table] = []
    settings: dict[str, Any] = {}


def load_toml(path: Path) -> tuple[dict[str, Any], list[Recipe]]:
    """Read a TOML file: ``[[recipe]]`` tables with ``steps = [{name = …, params = {…}}, …]``, and ``[settings]``.

    Returns:
        The settings as written (the caller validates them), and the recipes.

    Raises:
        InputError: The file is missing, is no TOML, or has an unknown key.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the recipe file {path}: {error}") from error
    except (ValueError, RecursionError) as error:
        # Not only what tomllib says itself: Python refuses numbers of thousands of digits.
        raise InputError(f"{path} is not TOML that can be read: {error}") from error
    if not raw:
        raise InputError(f"{path} is empty: expected [[recipe]] tables, [settings], or both")
    try:
        file = msgspec.convert(raw, _File)
    except msgspec.ValidationError as error:
        raise InputError(
            f"{path}: {error}; expected [[recipe]] tables with steps = [{{name = …, params = …}}], and [settings]"
        ) from error
    return file.settings, [check(t.steps, f"{path}: {'+'.join(s.name for s in t.steps)}") for t in file.recipe]


def read_all(arguments: Iterable[str]) -> tuple[dict[str, Any], list[Recipe]]:
    """Settings and recipes from ``--recipe`` values, each a recipe or a path that ends in ``.toml``."""
    settings: dict[str, Any] = {}
    recipes: list[Recipe] = []
    for argument in arguments:
        if argument.endswith(".toml"):
            more, found = load_toml(Path(argument))
            settings.update(more)
            recipes.extend(found)
        else:
            recipes.append(parse(argument))
    return settings, recipes


def dump_toml(settings: dict[str, Any], recipes: Sequence[Recipe]) -> str:
    """The TOML text that ``load_toml`` reads back to the same settings and recipes."""
    lines = [
        "[settings]",
        *(f"{key} = {_toml(value)}" for key, value in sorted(settings.items()) if value is not None),
    ]
    for recipe in recipes:
        lines += ["", "[[recipe]]", "steps = ["]
        for step in recipe.steps:
            params = ", ".join(f"{key} = {_toml(value)}" for key, value in step.params.items() if value is not None)
            lines.append(f"    {{ name = {_toml(step.name)}, params = {{ {params} }} }},")
        lines.append("]")
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, (int, float)):
        return repr(value)
    return json.dumps(str(value), ensure_ascii=False)


def _in_a_name(value: object) -> str:
    """A parameter's value as a part of a file's name; of texts that cannot be one, enough to tell them apart."""
    text = str(value).lower()
    kept = re.sub(r"[^a-z0-9.-]+", "-", text).strip("-.")[:_LONGEST_VALUE]
    return text if kept == text else f"{kept}-{hashlib.sha256(str(value).encode()).hexdigest()[:6]}".strip("-")


def name_apart(recipes: Sequence[Recipe]) -> list[Recipe]:
    """Drop exact repeats and append the values that differ where two recipes share a name (``prune-0.5+int8``)."""
    unique: list[Recipe] = []
    for recipe in recipes:
        if not any(recipe.steps == kept.steps for kept in unique):
            unique.append(recipe)
    counts = Counter(recipe.name for recipe in unique)
    named = []
    for recipe in unique:
        if counts[recipe.name] == 1:
            named.append(recipe)
            continue
        rivals = [other for other in unique if other.name == recipe.name]
        parts = []
        for index, step in enumerate(recipe.steps):
            differing = [
                _in_a_name(value)
                for key, value in step.params.items()
                if value is not None and any(rival.steps[index].params.get(key) != value for rival in rivals)
            ]
            parts.append("-".join([step.name, *differing]))
        named.append(Recipe("+".join(parts), recipe.steps))
    return named
