"""What runs on a device takes nothing of optkit along, and is the same rules."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from optkit import device
from optkit.bundle._device_files import PREDICT, SELFTEST
from optkit.device.assembled import assembled
from optkit.errors import InternalError

FOLDER = Path(device.__file__).parent
# What a device has: the standard library is not listed.
THIRD_PARTY = {"numpy", "PIL", "ai_edge_litert", "onnxruntime"}


@pytest.mark.parametrize("name", sorted({*PREDICT, *SELFTEST}))
def test_a_module_for_the_device_needs_no_other_part_of_optkit(name: str) -> None:
    import sys

    known = {"optkit.errors", *(f"optkit.device.{one}" for one in (*PREDICT, *SELFTEST))}
    tree = ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
        elif isinstance(node, ast.Import):
            module = node.names[0].name
        else:
            continue
        root = module.split(".")[0]
        assert module in known or root in THIRD_PARTY or root in sys.stdlib_module_names, module


@pytest.mark.parametrize("modules", [PREDICT, SELFTEST])
def test_what_is_joined_names_nothing_that_is_not_in_it(modules: tuple[str, ...]) -> None:
    text = assembled(modules)
    assert "optkit." not in text.replace("optkit.errors", "").partition('"""')[2].partition('"""')[2] or all(
        "import" not in line for line in text.splitlines() if "optkit." in line
    )
    compile(text, "joined", "exec")
    defined = [node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    assert len(defined) == len(set(defined))
    assert "main" in defined
    # The rules are word for word those that optkit measures with.
    if "timing" in modules:
        source = (FOLDER / "timing.py").read_text(encoding="utf-8")
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef):
                assert (ast.get_source_segment(source, node) or "") in text


def test_values_take_the_place_of_the_last_modules_own() -> None:
    text = assembled(PREDICT, {"SETTINGS": {"model": "model.tflite"}})
    assert "SETTINGS = {'model': 'model.tflite'}" in text
    assert "SETTINGS: dict" not in text


def test_two_modules_that_define_the_same_name_are_not_joined() -> None:
    with pytest.raises(InternalError, match="main"):
        assembled(("selftest", "classify"))
