"""Right files pass, and each way of being wrong is found by the check that is about it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import model_files
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from optkit import readback
from optkit.errors import InputError
from optkit.schema import KernelExpectation
from optkit.verify import Verification, enough_images, kernels, structure, verify_file
from optkit.verify.parity import LIMITS, limits_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAMES = (("image",), ("digit",))
WRITERS: dict[str, Callable[..., Path]] = {"tflite": model_files.write_tflite, "onnx": model_files.write_onnx}
PAIRS = [("tflite", p) for p in ("fp32", "fp16", "int8")] + [("onnx", p) for p in ("fp32", "fp16", "dynamic", "int8")]


def verify(path: Path, precision: str, **changes: Any) -> Verification:
    settings: dict[str, Any] = {
        "images": model_files.images(),
        "reference": model_files.network().predict(model_files.images()),
        "precision": precision,
        "integer_io": "int8" if precision == "int8" else None,
        "source_ports": NAMES,
    }
    return verify_file(path, **(settings | changes))


def failed(found: Verification) -> set[str]:
    return {check.name for check in found.checks if not check.passed}


def test_the_network_is_worth_comparing() -> None:
    labels = model_files.data.load("mnist").validation.labels[:1000]
    answers = model_files.network().predict(model_files.images()).argmax(axis=1)
    assert np.mean(answers == labels) > 0.85


@pytest.mark.parametrize(("file_format", "precision"), PAIRS)
def test_right_files_pass(tmp_path: Path, file_format: str, precision: str) -> None:
    found = verify(WRITERS[file_format](tmp_path, model_files.network(), precision), precision)
    assert failed(found) == set()
    assert found.parity is not None
    assert found.parity.passed
    assert found.parity.images == 1000
    assert (found.parity.max_error_steps is not None) == ((file_format, precision) == ("tflite", "int8"))
    assert all(check.reason or check.limit is not None or check.observed for check in found.checks)


def flipped(net: model_files.Network) -> model_files.Network:
    return replace(net, conv=-net.conv)


def shuffled(net: model_files.Network) -> model_files.Network:
    order = np.random.default_rng(1).permutation(net.dense.size)
    return replace(net, dense=net.dense.reshape(-1)[order].reshape(net.dense.shape))


def one_channel_swapped(net: model_files.Network) -> model_files.Network:
    return replace(net, conv=net.conv[[1, 0, *range(2, model_files.FILTERS)]])


def bias_lost(net: model_files.Network) -> model_files.Network:
    return replace(net, dense_bias=np.zeros_like(net.dense_bias))


@pytest.mark.parametrize("damage", [flipped, shuffled, one_channel_swapped])
@pytest.mark.parametrize(("file_format", "precision"), PAIRS)
def test_wrong_weights_are_rejected(
    tmp_path: Path, file_format: str, precision: str, damage: Callable[..., model_files.Network]
) -> None:
    found = verify(WRITERS[file_format](tmp_path, damage(model_files.network()), precision), precision)
    assert "mean error" in failed(found)
    assert found.parity is not None
    assert not found.parity.passed


@pytest.mark.parametrize("file_format", ["tflite", "onnx"])
def test_a_lost_bias_is_rejected_in_float(tmp_path: Path, file_format: str) -> None:
    assert "mean error" in failed(
        verify(WRITERS[file_format](tmp_path, bias_lost(model_files.network()), "fp32"), "fp32")
    )


@pytest.mark.parametrize("file_format", ["tflite", "onnx"])
def test_calibration_on_0_to_255_is_rejected(tmp_path: Path, file_format: str) -> None:
    pixels = model_files.images()[:100] * 255
    found = verify(WRITERS[file_format](tmp_path, model_files.network(), "int8", calibration=pixels), "int8")
    assert "mean error" in failed(found)
    if file_format == "tflite":
        assert "input range fits the data" in failed(found)


def test_calibration_on_noise_is_rejected(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(size=(100, 28, 28, 1)).astype(np.float32)
    path = model_files.write_tflite(tmp_path, model_files.network(), "int8", calibration=noise)
    assert "input range fits the data" in failed(verify(path, "int8"))


def test_calibration_on_faint_images_is_rejected(tmp_path: Path) -> None:
    path = model_files.write_tflite(
        tmp_path, model_files.network(), "int8", calibration=model_files.images()[:100] * 0.1
    )
    assert "input range covers the data" in failed(verify(path, "int8"))


def test_an_edited_byte_range_is_rejected(tmp_path: Path) -> None:
    path = model_files.write_tflite(tmp_path, model_files.network(), "fp32")
    kernel = model_files.network().dense.tobytes()
    content = path.read_bytes()
    assert content.count(kernel) == 1
    path.write_bytes(content.replace(kernel, (-model_files.network().dense).tobytes()))
    assert {"mean error", "top-1 agreement", "largest error"} <= failed(verify(path, "fp32"))


def edited(path: Path, name: str, change: Callable[[np.ndarray], np.ndarray]) -> Path:
    model = onnx.load(path)
    tensor = next(t for t in model.graph.initializer if t.name == name)
    tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor)), name))
    onnx.save(model, path)
    return path


def test_nan_is_found(tmp_path: Path) -> None:
    path = model_files.write_onnx(tmp_path, model_files.network(), "fp32")
    found = verify(edited(path, "dense_bias", lambda v: v * np.float32("nan")), "fp32")
    assert "no NaN or infinity" in failed(found)
    assert found.parity is None


def test_a_constant_answer_is_found(tmp_path: Path) -> None:
    path = model_files.write_onnx(tmp_path, model_files.network(), "fp32")
    found = verify(edited(path, "dense", lambda v: v * np.float32(0)), "fp32")
    assert {"output depends on the input", "answers more than one class", "mean error"} <= failed(found)


def test_equal_outputs_for_all_classes_agree_with_nothing(tmp_path: Path) -> None:
    path = model_files.write_onnx(tmp_path, model_files.network(), "fp32")
    edited(path, "dense_bias", lambda v: v * np.float32(0))
    found = verify(edited(path, "dense", lambda v: v * np.float32(0)), "fp32")
    assert found.parity is not None
    assert found.parity.top1_agreement == 0
    assert {"top-1 agreement", "output not saturated"} <= failed(found)


def test_a_reference_that_does_not_vary_proves_nothing(tmp_path: Path) -> None:
    path = model_files.write_onnx(
        tmp_path, replace(model_files.network(), dense=np.zeros((10, 288), np.float32)), "fp32"
    )
    constant = replace(model_files.network(), dense=np.zeros((10, 288), np.float32)).predict(model_files.images())
    assert "output depends on the input" in failed(verify(path, "fp32", reference=constant))


@pytest.mark.parametrize("claimed", sorted(LIMITS))
@pytest.mark.parametrize(("file_format", "precision"), PAIRS)
def test_a_file_of_another_precision_is_rejected(
    tmp_path: Path, file_format: str, precision: str, claimed: str
) -> None:
    found = verify(WRITERS[file_format](tmp_path, model_files.network(), precision), claimed, integer_io=None)
    kinds = {
        "float32 kernels",
        "float16 kernels",
        "int8 kernels",
        "int4 kernels",
        "integer activations",
        "activations scaled per call",
        "input and output type",
    }
    right = precision == claimed and (file_format, precision) != ("tflite", "int8")
    if not right:
        assert failed(found) & kinds
    else:
        assert not failed(found) & kinds


def test_a_dynamic_file_of_small_kernels_alone_must_have_one_that_is_int8(tmp_path: Path) -> None:
    """ONNX Runtime's quantizer takes kernels of any size, TensorFlow's leaves those under 1,024 values."""
    for precision, is_right in (("dynamic", True), ("fp32", False)):
        facts = readback.read(model_files.write_onnx(tmp_path, model_files.network(), precision))
        kept = tuple(c for c in facts.constants if c.values.size < 1024)
        found = {
            c.name: c for c in structure.checks(replace(facts, constants=kept), precision="dynamic", io_type="float")
        }
        assert found["int8 kernels"].passed == is_right, found["int8 kernels"]


def with_operator(facts: readback.ModelFacts, operator: readback.Operator) -> readback.ModelFacts:
    return replace(facts, operators=(*facts.operators, operator))


def test_a_float_operator_in_an_int8_file_is_named(tmp_path: Path) -> None:
    facts = readback.read(model_files.write_tflite(tmp_path, model_files.network(), "int8"))
    assert all(check.passed for check in structure.checks(facts, precision="int8", io_type="int8"))
    mixed = with_operator(facts, readback.Operator("TANH", "odd one", 0, ("float32",), ("float32",)))
    bad = [c for c in structure.checks(mixed, precision="int8", io_type="int8") if not c.passed]
    assert [(c.name, c.observed) for c in bad] == [("no float between input and output", "odd one")]


def test_a_quantizer_in_an_fp32_file_is_named(tmp_path: Path) -> None:
    facts = readback.read(model_files.write_tflite(tmp_path, model_files.network(), "fp32"))
    mixed = with_operator(facts, readback.Operator("QUANTIZE", "q", 0, ("float32",), ("int8",)))
    bad = [c for c in structure.checks(mixed, precision="fp32", io_type="float32") if not c.passed]
    assert [(c.name, c.observed) for c in bad] == [("nothing quantized", "QUANTIZE")]


def test_a_quantized_tensor_in_an_fp32_file_is_found(tmp_path: Path) -> None:
    facts = readback.read(model_files.write_tflite(tmp_path, model_files.network(), "fp32"))
    mixed = replace(facts, constants=(replace(facts.constants[0], scales=(0.1,)), *facts.constants[1:]))
    bad = [c for c in structure.checks(mixed, precision="fp32", io_type="float32") if not c.passed]
    assert [(c.name, c.observed) for c in bad] == [("nothing quantized", "1 quantized tensors")]


@pytest.mark.parametrize("wanted", ["uint8", "int16", "float"])
def test_another_input_type_is_rejected(tmp_path: Path, wanted: str) -> None:
    path = model_files.write_tflite(tmp_path, model_files.network(), "int8")
    assert failed(verify(path, "int8", integer_io=wanted)) == {"input and output type"}


@pytest.mark.parametrize("file_format", ["tflite", "onnx"])
def test_other_names_are_rejected(tmp_path: Path, file_format: str) -> None:
    path = WRITERS[file_format](tmp_path, model_files.network(), "fp32")
    assert failed(verify(path, "fp32", source_ports=(("image",), ("digits",)))) == {"names kept"}


def test_a_file_cut_short_is_a_failed_check(tmp_path: Path) -> None:
    for file_format, write in WRITERS.items():
        path = write(tmp_path, model_files.network(), "fp32")
        path.write_bytes(path.read_bytes()[:500])
        found = verify(path, "fp32")
        assert {"opens in its runtime", "can be read back"} <= failed(found), file_format
        assert found.parity is None


def test_an_onnx_file_with_a_sidecar_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "fp32.onnx"
    onnx.save(
        model_files.onnx_float(model_files.network()),
        path,
        save_as_external_data=True,
        location="fp32.onnx.data",
        size_threshold=1024,
    )
    assert failed(verify(path, "fp32")) == {"one file"}


def test_an_onnx_file_with_a_fixed_batch_is_rejected(tmp_path: Path) -> None:
    model = model_files.onnx_float(model_files.network())
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    path = tmp_path / "fp32.onnx"
    onnx.save(model, path)
    assert failed(verify(path, "fp32")) == {"dynamic batch"}


def test_a_batch_frozen_inside_is_found(tmp_path: Path) -> None:
    path = model_files.write_onnx(tmp_path, model_files.network(), "fp32")
    edited(path, "row", lambda _: np.array([1, model_files.FEATURES], np.int64))
    assert "takes a batch of 3" in failed(verify(path, "fp32"))


def test_an_onnx_file_out_of_order_is_rejected(tmp_path: Path) -> None:
    model = model_files.onnx_float(model_files.network())
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes[1:], nodes[0]])
    path = tmp_path / "fp32.onnx"
    onnx.save(model, path)
    assert failed(verify(path, "fp32")) == {"valid for the ONNX checker"}


def test_an_operator_of_another_domain_is_named(tmp_path: Path) -> None:
    model = model_files.onnx_float(model_files.network())
    gelu = onnx.helper.make_node("Gelu", ["features"], ["smooth"], domain="com.microsoft")
    position = next(i for i, n in enumerate(model.graph.node) if n.op_type == "Transpose")
    model.graph.node[position].input[0] = "smooth"
    model.graph.node.insert(position, gelu)
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    path = tmp_path / "fp32.onnx"
    onnx.save(model, path)
    found = verify(path, "fp32")
    check = next(c for c in found.checks if c.name == "only built-in operators")
    assert not check.passed
    assert check.observed == "com.microsoft:Gelu"


def sparse(share: float) -> model_files.Network:
    net = model_files.network()
    return replace(net, dense=np.where(np.abs(net.dense) < np.quantile(np.abs(net.dense), share), 0, net.dense))


@pytest.mark.parametrize(("file_format", "precision"), PAIRS)
def test_sparsity_is_read_from_the_file(tmp_path: Path, file_format: str, precision: str) -> None:
    net = sparse(0.8)
    promise = KernelExpectation("dense", net.dense.size, sparsity_at_least=float(np.mean(net.dense == 0)))
    reference = net.predict(model_files.images())
    path = WRITERS[file_format](tmp_path, net, precision)
    assert failed(verify(path, precision, reference=reference, expectations=(promise,))) == set()
    more = KernelExpectation("dense", net.dense.size, sparsity_at_least=0.97)
    assert failed(verify(path, precision, reference=reference, expectations=(more,))) == {"sparsity of dense"}


@pytest.mark.parametrize(("file_format", "precision"), PAIRS)
def test_distinct_values_are_read_from_the_file(tmp_path: Path, file_format: str, precision: str) -> None:
    net = model_files.network()
    levels = np.linspace(net.dense.min(), net.dense.max(), 16, dtype=np.float32)
    net = replace(net, dense=levels[np.abs(net.dense[..., None] - levels).argmin(axis=-1)])
    reference = net.predict(model_files.images())
    path = WRITERS[file_format](tmp_path, net, precision)
    promise = KernelExpectation("dense", net.dense.size, distinct_at_most=16)
    assert failed(verify(path, precision, reference=reference, expectations=(promise,))) == set()
    fewer = KernelExpectation("dense", net.dense.size, distinct_at_most=6)
    assert failed(verify(path, precision, reference=reference, expectations=(fewer,))) == {"distinct values of dense"}


@pytest.mark.parametrize(("file_format", "precision"), PAIRS)
def test_two_of_four_is_read_from_the_file(tmp_path: Path, file_format: str, precision: str) -> None:
    net = model_files.network()
    blocks = net.dense.reshape(10, -1, 4)
    keep = np.abs(blocks).argsort(axis=-1).argsort(axis=-1) >= 2
    pruned = replace(net, dense=np.where(keep, blocks, 0).reshape(net.dense.shape))
    promise = (KernelExpectation("dense", net.dense.size, block_2_of_4=True),)
    path = WRITERS[file_format](tmp_path, pruned, precision)
    reference = pruned.predict(model_files.images())
    assert failed(verify(path, precision, reference=reference, expectations=promise)) == set()
    # As sparse, but along the other axis.
    moved = replace(pruned, dense=np.roll(pruned.dense, 1, axis=1))
    path = WRITERS[file_format](tmp_path, moved, precision)
    reference = moved.predict(model_files.images())
    assert failed(verify(path, precision, reference=reference, expectations=promise)) == {"2 of 4 of dense"}


def test_kernels_of_one_size_are_told_apart_by_their_order(tmp_path: Path) -> None:
    facts = readback.read(model_files.write_tflite(tmp_path, model_files.network(), "fp32"))
    dense = next(c for c in facts.constants if c.name == "dense")
    empty = replace(dense, name="later", operator=3, values=np.zeros_like(dense.values))
    facts = replace(facts, constants=(empty, *facts.constants))
    promises = (
        KernelExpectation("first", dense.values.size, distinct_at_most=dense.values.size),
        KernelExpectation("second", dense.values.size, sparsity_at_least=1.0),
    )
    assert [c.passed for c in kernels.checks(facts, promises)] == [True, True]
    assert [c.passed for c in kernels.checks(facts, promises[::-1])] == [False, True]


def test_a_kernel_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = model_files.write_tflite(tmp_path, model_files.network(), "fp32")
    promise = KernelExpectation("hidden", 12345, sparsity_at_least=0.5)
    assert failed(verify(path, "fp32", expectations=(promise,))) == {"kernel of hidden"}


def test_layers_left_in_float_are_listed(tmp_path: Path) -> None:
    path = model_files.write_onnx(tmp_path, model_files.network(), "fp32")
    found = verify(path, "int8", float_layers=("dense",))
    checks = {check.name: check for check in found.checks}
    assert checks["layers left in float"].observed == "dense"
    assert checks["int8 kernels"].observed == "conv (float32)"


def test_a_first_layer_left_in_float_after_quantization_aware_training_takes_float(tmp_path: Path) -> None:
    facts = readback.read(model_files.write_tflite(tmp_path, model_files.network(), "fp32"))
    # Training with rounding puts a prefix before the layer's name, and nothing makes an integer of the input.
    kernel = next(one for one in facts.constants if one.name == "conv")
    renamed = [replace(one, name="net/quant_conv/Conv2D") if one is kernel else one for one in facts.constants]
    facts = replace(facts, constants=tuple(renamed), outputs=(replace(facts.outputs[0], dtype="int8"),))

    def wrong(layers: tuple[str, ...]) -> dict[str, object]:
        found = structure.checks(facts, precision="int8", io_type="int8", float_layers=layers)
        return {one.name: one.observed for one in found if not one.passed}

    assert "input and output type" not in wrong(("conv",))
    assert wrong(("conv",))["int8 kernels"] == "dense (float32)"
    assert wrong(())["input and output type"] == "float32, int8"
    # The dense layer does not take the input: left out alone, it is no reason for a float one.
    assert wrong(("dense",))["input and output type"] == "float32, int8"


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_layer_left_out_of_techniques_alone_changes_nothing(tmp_path: Path, precision: str) -> None:
    path = model_files.write_tflite(tmp_path, model_files.network(), precision)
    found = verify(path, precision, float_layers=("conv", "dense"))
    assert failed(found) == set()
    assert "layers left in float" not in {check.name for check in found.checks}


def test_few_images_are_not_enough_where_there_are_more(tmp_path: Path) -> None:
    path = model_files.write_onnx(tmp_path, model_files.network(), "fp32")
    pictures = model_files.images()[:200]
    settings = {"images": pictures, "reference": model_files.network().predict(pictures)}
    assert failed(verify(path, "fp32", available=5000, **settings)) == {"enough images"}
    found = verify(path, "fp32", available=200, **settings)
    assert failed(found) == set()
    many = next(check for check in found.checks if check.name == "enough images")
    assert (many.observed, many.limit) == (200, 200)
    # 1 - 0.995 ** 200
    assert many.reason == "of 200, one shows a fault that 1 in 200 has with 63.3 % probability (1 - 0.995^200)"


@pytest.mark.parametrize(
    ("images", "references", "available"), [(0, 0, 0), (10, 9, 10), (11, 10, 10), (999, 999, 5000)]
)
def test_too_few_images_are_noticed(images: int, references: int, available: int) -> None:
    assert not enough_images(images, references, available).passed


def test_a_thousand_of_many_are_enough() -> None:
    found = enough_images(1000, 1000, 60_000)
    assert found.passed
    assert found.reason == "of 1,000, one shows a fault that 1 in 200 has with 99.3 % probability (1 - 0.995^1000)"


def test_limits_exist_for_known_precisions_only() -> None:
    assert (
        limits_for("int8", quantization_aware=True).mean_of_spread
        < limits_for("int8", quantization_aware=False).mean_of_spread
    )
    with pytest.raises(InputError, match="int8"):
        limits_for("int9", quantization_aware=False)
