"""What kind of Keras file a path is, and what is refused from headers and configuration alone."""

from __future__ import annotations

import json
import random
import zipfile
from pathlib import Path
from typing import Any

import h5py
import hostile_keras_files as made
import numpy as np
import pytest

from optkit.errors import InputError
from optkit.keras_models import _limits
from optkit.keras_models._config_scan import Known, check_config, is_numeric
from optkit.keras_models.detect import identify
from optkit.readback import keras as readback

LAYERS = {"InputLayer", "Dense", "Sequential", "Bidirectional", "LSTM"}


def known(*custom: str) -> Known:
    """A Keras of a few classes."""
    return Known(
        lambda module, name: module in {None, "keras", "keras.layers"} and name in LAYERS,
        lambda module, name: module in {None, "builtins", "keras.activations"} and name == "relu",
        frozenset(custom),
    )


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        identify(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def scan(*layers: dict[str, Any], custom: tuple[str, ...] = ()) -> str:
    """The message that a configuration is refused with; empty when it is not."""
    message = ""
    try:
        check_config(made.model(*layers), known(*custom), Path("x.keras"))
    except InputError as error:
        message = str(error)
    assert "\n" not in message
    assert not message or "x.keras" in message
    return message


def test_tells_each_kind(tmp_path: Path) -> None:
    three = identify(made.keras_file(tmp_path / "three.keras"))
    assert (three.kind, three.generation, three.source, three.elements) == ("archive", 3, "Keras 3 .keras", 15)
    assert identify(made.keras_file(tmp_path / "two.keras", version="2.15.0")).source == "Keras 2 .keras"
    assert identify(made.h5_model(tmp_path / "two.h5")).source == "Keras 2 .h5"
    assert identify(made.h5_model(tmp_path / "three.h5", version="3.15.0")).source == "Keras 3 .h5"
    (tmp_path / "x.weights.h5").write_bytes(made.weights())
    assert identify(tmp_path / "x.weights.h5").source == "Keras .weights.h5"
    with h5py.File(tmp_path / "legacy.h5", "w") as file:
        file.attrs["layer_names"] = [b"dense"]
    assert identify(tmp_path / "legacy.h5").legacy
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"")
    assert identify(tmp_path / "saved").kind == "saved model"


def test_the_optimizer_is_not_looked_at(tmp_path: Path) -> None:
    config = {**made.HONEST, "compile_config": {"class_name": "Unknown"}}
    found = identify(made.keras_file(tmp_path / "x.keras", config))
    assert "compile_config" not in (found.config or {})


def test_says_what_else_it_is(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none.keras")
    (tmp_path / "text.keras").write_text("hello, this is no model")
    assert "expected a .keras" in refusal(tmp_path / "text.keras")
    (tmp_path / "empty.h5").write_bytes(b"")
    assert "an empty file" in refusal(tmp_path / "empty.h5")
    (tmp_path / "folder").mkdir()
    assert "holds no saved_model.pb" in refusal(tmp_path / "folder")
    (tmp_path / "folder" / "config.json").write_text("{}")
    assert "unpacked" in refusal(tmp_path / "folder")
    assert "rename" in refusal(made.keras_file(tmp_path / "x.zip"))
    assert "rename" in refusal(made.h5_model(tmp_path / "x.keras"))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["numbers"] = np.arange(3)
    assert "neither a Keras model nor its weights" in refusal(tmp_path / "other.h5")


def test_a_missing_member_is_named(tmp_path: Path) -> None:
    assert "lacks model.weights.h5" in refusal(made.keras_file(tmp_path / "x.keras", **{"model.weights.h5": None}))
    path = made.keras_file(tmp_path / "npz.keras", **{"model.weights.h5": None, "model.weights.npz": b""})
    assert "lacks model.weights.h5" in refusal(path)
    assets = made.keras_file(tmp_path / "assets.keras", **{"assets/layer/vocabulary.txt": b"a"})
    assert "vocabulary.txt" in refusal(assets)


@pytest.mark.parametrize("name", ["../outside.txt", "/etc/outside", "a/../../b", "C:outside", "..\\outside"])
def test_members_stay_inside(tmp_path: Path, name: str) -> None:
    assert "outside of the archive" in refusal(made.keras_file(tmp_path / "x.keras", **{name: b"x"}))


def test_a_member_is_there_once(tmp_path: Path) -> None:
    path = made.keras_file(tmp_path / "x.keras")
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("config.json", "{}")
    assert "twice" in refusal(path)


def test_an_archive_that_expands_is_not_read(tmp_path: Path) -> None:
    path = made.keras_file(tmp_path / "x.keras")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("big", bytes(32 << 20))
    assert "expands from" in refusal(path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.infolist()[-1].compress_size = 1 << 30
        archive.infolist()[-1].file_size = 2 << 30
        with pytest.raises(InputError, match="is compressed"):
            _limits.check_archive(archive, path)
        archive.infolist()[-1].compress_size = archive.infolist()[-1].file_size = 9 << 30
        with pytest.raises(InputError, match="expected at most 8,589,934,592 bytes"):
            _limits.check_archive(archive, path)


def test_an_honest_compressed_archive_is_taken(tmp_path: Path) -> None:
    plain = made.keras_file(tmp_path / "plain.keras")
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(tmp_path / "x.keras", "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    assert identify(tmp_path / "x.keras").elements == 15


def test_a_flipped_bit_of_the_weights_is_noticed(tmp_path: Path) -> None:
    path = made.keras_file(tmp_path / "x.keras")
    content = path.read_bytes()
    one = np.ones((4, 3), np.float32).tobytes()
    assert content.count(one) == 1
    path.write_bytes(content.replace(one, b"\x01" + one[1:]))
    assert "CRC" in refusal(path)


def test_deep_and_long_configurations(tmp_path: Path) -> None:
    deep = "[" * 200 + "]" * 200
    assert "deeper than 100" in refusal(made.keras_file(tmp_path / "deep.keras", f'{{"config": {deep}}}'))
    very = "[" * 100_000 + "]" * 100_000
    assert "deeper than 100" in refusal(made.keras_file(tmp_path / "very.keras", f'{{"config": {very}}}'))
    long = made.model(*({"n": 1} for _ in range(20_001)))
    assert "20,001" in refusal(made.keras_file(tmp_path / "long.keras", long))
    assert "not an object" in refusal(made.keras_file(tmp_path / "list.keras", "[]"))
    assert "no JSON" in refusal(made.keras_file(tmp_path / "no.keras", "{"))


@pytest.mark.parametrize("reason", made.HOSTILE_WEIGHTS)
def test_hostile_weights_are_refused(tmp_path: Path, reason: str) -> None:
    content = made.weights(made.HOSTILE_WEIGHTS[reason])
    assert reason in refusal(made.keras_file(tmp_path / "x.keras", **{"model.weights.h5": content}))
    (tmp_path / "x.weights.h5").write_bytes(content)
    assert reason in refusal(tmp_path / "x.weights.h5")


def test_circles_end(tmp_path: Path) -> None:
    content = made.weights(made.goes_in_circles)
    assert identify(made.keras_file(tmp_path / "x.keras", **{"model.weights.h5": content})).elements == 15


@pytest.mark.parametrize("maker", [made.keras_file, made.h5_model])
def test_damaged_files_are_input_errors(tmp_path: Path, maker: Any) -> None:
    suffix = "keras" if maker is made.keras_file else "h5"
    whole = maker(tmp_path / f"whole.{suffix}").read_bytes()
    chance = random.Random(1)
    path = tmp_path / f"x.{suffix}"
    refused = 0
    for _ in range(300):
        content = bytearray(whole)
        if chance.random() < 0.3:
            content = content[: chance.randrange(len(content))]
        for _ in range(chance.choice([1, 1, 8, 64])):
            if content:
                content[chance.randrange(len(content))] = chance.randrange(256)
        path.write_bytes(content)
        try:
            identify(path)
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017
            refused += 1
    assert refused > 100


def test_what_keras_has_is_taken() -> None:
    inner = made.layer("LSTM", "cell", activation="relu")
    assert scan(made.layer("Dense", "dense", activation="relu"), made.layer("Bidirectional", "both", layer=inner)) == ""


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (made.layer("Dance", "odd"), "'Dance'"),
        ({**made.layer("Dense", "odd"), "module": "os.path"}, "'Dense'"),
        ({**made.layer("system", "odd"), "module": "os"}, "'system'"),
        (made.layer("Lambda", "odd", function={"class_name": "__lambda__", "config": {}}), "Lambda"),
        (made.layer("Lambda", "odd", function=["4wEAAAA", None, None], function_type="lambda"), "Lambda"),
        (made.layer("Dense", "odd", activation={"class_name": "__lambda__", "config": {"code": "4w"}}), "bytecode"),
        (made.layer("TFSMLayer", "odd", filepath="/x"), "reads another model"),
        (made.layer("TorchModuleWrapper", "odd", module="x"), "pickled"),
        (made.layer("StringLookup", "odd", vocabulary="/etc/passwd"), "may read files"),
        (made.layer("TFOpLambda", "odd", function="io.write_file"), "io.write_file"),
        (made.layer("TFOpLambda", "odd", function="py_function"), "py_function"),
        (made.layer("Dense", "odd", activation="system"), "'system'"),
        (
            made.layer("Dense", "odd", activation={"module": "os", "class_name": "function", "config": "relu"}),
            "uses the function 'relu'",
        ),
        (made.layer("Dense", "odd", kernel_initializer={"class_name": "Evil", "config": {}}), "'Evil'"),
        (made.layer("Dense", "odd", kernel_initializer={"class_name": ["Dense"], "config": {}}), "no text"),
    ],
)
def test_what_keras_lacks_is_refused_with_the_layer_and_a_way_out(bad: dict[str, Any], reason: str) -> None:
    for nested in (bad, made.layer("Bidirectional", "outer", layer=bad), made.model(bad)):
        message = scan(made.layer("Dense", "fine"), nested)
        assert reason in message
        assert "'odd'" in message
        assert "SavedModel" in message


def test_own_classes_and_functions_are_taken_when_given() -> None:
    own = {"module": "mine", "class_name": "Dance", "config": {"name": "odd"}, "registered_name": "mine>Dance"}
    assert "'Dance'" in scan(own)
    assert scan(own, custom=("mine>Dance",)) == ""
    assert scan({**own, "registered_name": "Dance"}, custom=("Dance",)) == ""
    function = {"module": "builtins", "class_name": "function", "config": "twice", "registered_name": "function"}
    assert "'twice'" in scan(made.layer("Dense", "odd", activation=function))
    assert scan(made.layer("Dense", "odd", activation=function), custom=("twice",)) == ""
    assert scan(made.layer("Dense", "odd", activation="twice"), custom=("twice",)) == ""


def test_a_lambda_with_a_name_of_the_own_file_is_taken_but_never_bytecode() -> None:
    named = {"class_name": "function", "config": "twice", "registered_name": "function", "module": "builtins"}
    assert scan(made.layer("Lambda", "odd", function=named), custom=("twice",)) == ""
    assert "Lambda" in scan(made.layer("Lambda", "odd", function=named))
    old = made.layer("Lambda", "odd", function="twice", function_type="function", module="os")
    assert scan(old, custom=("twice",)) == ""
    code = {"class_name": "__lambda__", "config": {"code": "twice"}}
    assert "Lambda" in scan(made.layer("Lambda", "odd", function=code), custom=("twice",))
    assert "Lambda" in scan(made.layer("Lambda", "odd", function=named, mask=code), custom=("twice",))
    marshalled = made.layer("Lambda", "odd", function=["twice", None, None], function_type="lambda")
    assert "Lambda" in scan(marshalled, custom=("twice",))


def test_functions_of_tensorflow_are_numeric_or_not() -> None:
    for name in ("math.multiply", "__operators__.getitem", "compat.v1.transpose", "nn.relu6", "reshape", "concat"):
        assert is_numeric(name), name
    for name in (
        "io.read_file",
        "raw_ops.ReadFile",
        "print",
        "numpy_function",
        "keras.utils.get_file",
        "py_function",
        3,
    ):
        assert not is_numeric(name), name


def test_readback_lists_layers_and_refuses_the_same(tmp_path: Path) -> None:
    facts = readback.read(made.keras_file(tmp_path / "x.keras"))
    assert [(one.kind, one.name) for one in facts.operators] == [("InputLayer", "image"), ("Dense", "dense")]
    assert sorted(one.values.shape for one in facts.constants) == [(3,), (4, 3)]
    content = made.weights(made.declares_a_tebi)
    bad = made.keras_file(tmp_path / "bad.keras", **{"model.weights.h5": content})
    with pytest.raises(InputError, match="declares"):
        readback.read(bad)
    strange = json.dumps({"config": []})
    with pytest.raises(InputError, match="or damaged"):
        readback.read(made.keras_file(tmp_path / "strange.keras", strange))
