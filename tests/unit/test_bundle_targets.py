"""Every target of bundles says what it takes, and refuses before anything is written."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import model_files
import numpy as np
import onnx
import pytest
from onnx import helper

from optkit import registry
from optkit.bundle import Limits, Subject, _c_files, _metadata, _tflm_operators, mcu
from optkit.errors import BudgetMissedError, InputError
from optkit.pipeline import bundle_subject
from optkit.problem import Preprocessing, Task
from optkit.readback import ModelFacts, Operator, Port
from optkit.schema import DataFacts

GIVEN = Port("image", "int8", (1, 28, 28, 1), 1 / 255, -128)
FOUND = Port("digit", "int8", (1, 10), 1 / 256, -128)


def operator(kind: str, dtype: str = "int8") -> Operator:
    return Operator(kind, kind, 0, (dtype,), (dtype,))


def subject(*operators: Operator, flash: int | None = None, file_format: str = "tflite") -> Subject:
    return Subject(
        path=Path(f"net.{file_format}"),
        name="net",
        format=file_format,
        facts=ModelFacts(file_format, 5000, (GIVEN,), (FOUND,), operators, ()),
        given=GIVEN,
        found=FOUND,
        preprocessing=Preprocessing(scale=1 / 255, mean=(0.5,), std=(0.25,)),
        task=Task(),
        class_names=("zero", "one"),
        data=DataFacts("digits", "0" * 64, None, None, 3, None),
        licence="none",
        raw=np.zeros((3, 28, 28, 1), np.uint8),
        labels=None,
        outputs=np.zeros((3, 10), np.int8),
        variant=None,
        report=None,
        limits=Limits(None, flash),
    )


@pytest.mark.parametrize("name", registry.names("bundle"))
def test_a_target_takes_known_formats_and_refuses_a_file_beyond_the_flash(name: str) -> None:
    module = registry.load("bundle", name)
    assert set(module.FORMATS) <= set(registry.formats())
    assert module.SUMMARY
    small = subject(operator("CONV_2D"), flash=4999, file_format=module.FORMATS[0])
    with pytest.raises(BudgetMissedError, match=r"5,000 bytes, 1 more than --flash 4,999"):
        module.refuse(small)


@pytest.mark.parametrize(
    ("inputs", "outputs", "words"),
    [(("a", "b"), ("y",), "has 'a', 'b', which a bundle cannot feed"), (("a",), ("y", "z"), "one output; .* has 2")],
)
def test_several_inputs_or_outputs_are_refused(
    tmp_path: Path, inputs: tuple[str, ...], outputs: tuple[str, ...], words: str
) -> None:
    nodes = [helper.make_node("Sum", list(inputs), ["s"])]
    nodes += [helper.make_node("Relu", ["s"], [name]) for name in outputs]
    ports = [{name: [-1, 4] for name in names} for names in (inputs, outputs)]
    path = tmp_path / "net.onnx"
    onnx.save(model_files.onnx_model(nodes, {}, *ports), path)
    with pytest.raises(InputError, match=words):
        bundle_subject.answers(path, np.zeros((2, 4), np.float32), Preprocessing(), tmp_path)


def test_operators_that_a_microcontroller_lacks_are_named() -> None:
    refused = mcu.refuse(subject(operator("CONV_2D"), operator("GELU"), operator("CUSTOM:Mine"), operator("GELU")))
    assert refused is not None
    assert "uses GELU, CUSTOM:Mine, which TensorFlow Lite for Microcontrollers has not" in refused
    floats = mcu.refuse(subject(operator("CONV_2D", "float32")))
    assert floats is not None
    assert "found float32 in net.tflite; nearest that would work: optkit compress" in floats


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        ("CONV_2D", "AddConv2D"),
        ("DEPTHWISE_CONV_2D", "AddDepthwiseConv2D"),
        ("MAX_POOL_2D", "AddMaxPool2D"),
        ("FULLY_CONNECTED", "AddFullyConnected"),
        ("RELU6", "AddRelu6"),
        ("PADV2", "AddPadV2"),
        ("SPACE_TO_BATCH_ND", "AddSpaceToBatchNd"),
        ("UNIDIRECTIONAL_SEQUENCE_LSTM", "AddUnidirectionalSequenceLSTM"),
    ],
)
def test_the_resolver_calls_operators_as_its_header_does(kind: str, method: str) -> None:
    assert _tflm_operators.method(kind) == method
    assert kind in _tflm_operators.OPERATORS


def test_c_arrays_are_the_bytes_in_order() -> None:
    text = _c_files.model_source(bytes(range(40)))
    body = text.partition("= {")[2].partition("}")[0]
    assert [int(one, 16) for one in body.replace("\n", " ").split(",")] == list(range(40))


def test_a_picture_is_described_as_one() -> None:
    content = _metadata.packed(_metadata._described(subject(operator("CONV_2D"))))
    assert content[4:8] == b"M001"
    assert b"labels.txt" in content
    # (raw / 255 - 0.5) / 0.25 is (raw - 127.5) / 63.75.
    for value in (127.5, 63.75):
        assert np.float32(value).tobytes() in content
    # A grey picture has one channel; a vector of features is none.
    flat = dataclasses.replace(GIVEN, shape=(1, 784))
    other = dataclasses.replace(subject(operator("CONV_2D")), given=flat)
    assert len(_metadata.packed(_metadata._described(other))) < len(content)
