"""``optkit list``: every plug-in with its summary and source."""

from __future__ import annotations

import textwrap
from typing import Any, get_args, get_type_hints

import click

from optkit import registry

KINDS = ("techniques", "exporters", "runtimes", "bundle", "codegen", "baselines", "data", "engines")


@click.command(name="list")
@click.argument("kinds", nargs=-1, type=click.Choice(KINDS))
def command(kinds: tuple[str, ...]) -> None:
    """Show every technique, exporter, runtime, target, operator of plain C, baseline, data set and engine."""
    for kind in kinds or KINDS:
        click.secho(kind.upper(), bold=True)
        for name in registry.names(kind):
            for line in describe(kind, name):
                click.echo(line)
        click.echo()


def describe(kind: str, name: str) -> list[str]:
    """Lines about one plug-in: summary, parameters or precisions, source."""
    module = registry.load(kind, name)
    lines = [f"  {name}", *_wrapped(module.SUMMARY)]
    if kind == "techniques":
        lines += _wrapped("parameters: " + (", ".join(parameters(name)) or "none"))
    if kind == "exporters":
        lines += [line for key in module.PRECISIONS for line in _wrapped(f"{key}: {precision(name, key)}")]
    return lines + _wrapped(f"source: {module.SOURCE}")


def parameters(technique: str) -> list[str]:
    """``name=default (range)`` for each parameter of a technique."""
    return fields(registry.load("techniques", technique).Params)


def precision(exporter: str, name: str) -> str:
    """What is real about a precision, with its parameters where it takes some."""
    module = registry.load("exporters", exporter)
    text: str = module.PRECISIONS[name]
    params = getattr(module, "PARAMS", {}).get(name)
    return text if params is None else f"{text}; parameters: {', '.join(fields(params))}"


def fields(params: Any) -> list[str]:
    """``name=default (range)`` for each field of a record."""
    import msgspec

    defaults = msgspec.to_builtins(params())
    hints = get_type_hints(params, include_extras=True)
    shown = []
    for field, default in defaults.items():
        schema = msgspec.json.schema(hints[field])
        # What may be left out is a number or nothing: its limits are the number's.
        schema = next((one for one in schema.get("anyOf", ()) if one["type"] in {"integer", "number"}), schema)
        choices = schema.get("enum") or get_args(hints[field]) if "enum" in schema else None
        limits = [
            f"{sign} {schema[key]:g}"
            for key, sign in (
                ("minimum", "≥"),
                ("exclusiveMinimum", ">"),
                ("maximum", "≤"),
                ("exclusiveMaximum", "<"),
            )
            if key in schema
        ]
        note = "|".join(map(str, choices)) if choices else ", ".join(limits)
        shown.append((field if default is None else f"{field}={default}") + (f" ({note})" if note else ""))
    return shown


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, width=100, initial_indent="      ", subsequent_indent="      ")
