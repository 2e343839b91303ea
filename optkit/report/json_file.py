"""report.json: written with sorted keys and read back, and the JSON Schema that says what it holds."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import msgspec

from optkit.errors import InputError, InternalError
from optkit.problem import Preprocessing, Task
from optkit.schema import SCHEMA_VERSION, Recipe, Report, Step

SCHEMA_PATH = Path(__file__).with_name("report.schema.json")
"""The committed schema; ``python -m optkit.report.json_file`` writes it again from the records."""


def to_json(report: Report) -> bytes:
    """report.json: sorted keys, two spaces of indent, UTF-8, a newline at the end.

    Raises:
        InternalError: A figure is NaN or infinite, or has another type than its record says.
    """
    try:
        plain = msgspec.to_builtins(report)
        # Types of a record are not checked when it is made; what could not be read again must not be written.
        msgspec.convert(plain, Report)
    except (msgspec.ValidationError, TypeError) as error:
        raise InternalError(f"the report does not fit its own format: {error}") from error
    where = _not_finite(plain, "$")
    if where is not None:
        raise InternalError(f"the report has a figure that is not finite at {where}; one that was not measured is null")
    text = json.dumps(plain, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def _not_finite(value: object, path: str) -> str | None:
    """Where the first NaN or infinity is, as a JSON path."""
    if isinstance(value, float) and not math.isfinite(value):
        return path
    children: list[tuple[str, object]] = []
    if isinstance(value, dict):
        children = [(f"{path}.{key}", child) for key, child in value.items()]
    elif isinstance(value, list | tuple):
        children = [(f"{path}[{index}]", child) for index, child in enumerate(value)]
    return next((found for name, child in children if (found := _not_finite(child, name)) is not None), None)


def from_json(data: bytes) -> Report:
    """Read a report; keys that this version does not know are passed over.

    Raises:
        InputError: The bytes are not such a report, or were written to a later version of the format.
    """
    advice = "give the report.json of an optkit run"
    try:
        plain = json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InputError(f"expected a report.json, found bytes that are not JSON ({error}); {advice}") from error
    version = plain.get("schema_version") if isinstance(plain, dict) else None
    if not isinstance(version, int) or isinstance(version, bool):
        raise InputError(f"expected a report.json, found JSON without a schema_version; {advice}")
    if version > SCHEMA_VERSION:
        raise InputError(
            f"expected report.json of version {SCHEMA_VERSION} or earlier, found version {version}; "
            "read it with a later optkit"
        )
    try:
        return msgspec.convert(_without_unknown_keys(plain), Report)
    except msgspec.ValidationError as error:
        raise InputError(f"report.json does not fit version {version} of its format: {error}; {advice}") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _without_unknown_keys(plain: dict[str, Any]) -> dict[str, Any]:
    """Drop what later versions may add to records that refuse unknown keys, as people write them elsewhere."""

    def known(record: object, kind: type[msgspec.Struct]) -> object:
        if not isinstance(record, dict):
            return record
        return {key: value for key, value in record.items() if key in kind.__struct_fields__}

    if "task" in plain:
        plain = {**plain, "task": known(plain["task"], Task)}
    if isinstance(plain.get("data"), dict) and "preprocessing" in plain["data"]:
        preprocessing = known(plain["data"]["preprocessing"], Preprocessing)
        plain = {**plain, "data": {**plain["data"], "preprocessing": preprocessing}}
    if not isinstance(plain.get("variants"), list):
        return plain
    variants = []
    for variant in plain["variants"]:
        recipe = known(variant.get("recipe"), Recipe) if isinstance(variant, dict) else None
        if isinstance(recipe, dict) and isinstance(recipe.get("steps"), list):
            steps = [known(step, Step) for step in recipe["steps"]]
            variants.append({**variant, "recipe": {**recipe, "steps": steps}})
        else:
            variants.append(variant)
    return {**plain, "variants": variants}


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of report.json, made from the records; unknown keys are allowed."""
    schema = msgspec.json.schema(Report)
    for definition in schema["$defs"].values():
        definition.pop("additionalProperties", None)
    version = schema["$defs"]["Report"]["properties"]["schema_version"]
    version.update({"minimum": 1, "maximum": SCHEMA_VERSION})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"optkit report.json, version {SCHEMA_VERSION}",
        **schema,
    }


def schema_text() -> str:
    """The schema as it is committed."""
    return json.dumps(json_schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    SCHEMA_PATH.write_text(schema_text(), encoding="utf-8")
