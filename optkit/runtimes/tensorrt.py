"""TensorRT on an NVIDIA GPU, through ONNX Runtime's provider: taken where it is named (``--runtime tensorrt``).

A session is refused unless TensorRT takes every node of the file: without that ONNX Runtime would put those that it
does not take on the CPU, and what is measured would be neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.errors import InputError
from optkit.runtimes import onnxruntime as cpu

if TYPE_CHECKING:
    from pathlib import Path

SUMMARY = "TensorRT through ONNX Runtime's provider, on an NVIDIA GPU; explicit-QDQ int8, float16 and float32 files."
SOURCE = "https://onnxruntime.ai/docs/execution-providers/TensorRT-ExecutionProvider.html"
FORMAT = "onnx"
BESIDE = True

PROVIDER = "TensorrtExecutionProvider"
_INSTALL = "pip install onnxruntime-gpu in place of onnxruntime, TensorRT and CUDA, on a machine with an NVIDIA GPU"
# ONNX Runtime's severities.
_WARNINGS, _FATAL = 2, 4
# A network of one node, which anything can run: whether the provider comes up is only known once something is opened.
_PROBE_VALUES = 4


def version() -> str:
    """Version of the ONNX Runtime that has the provider; TensorRT's own is not told by it."""
    return cpu.version()


def missing() -> str | None:
    """Why nothing can be measured with it on this machine; ``None`` where it can."""
    import onnxruntime

    there = onnxruntime.get_available_providers()
    if PROVIDER not in there:
        short = ", ".join(one.removesuffix("ExecutionProvider") for one in there)
        return f"ONNX Runtime has no TensorRT provider here, only {short}; {_INSTALL}"
    # What it logs about a provider that does not start is in the reason.
    onnxruntime.set_default_logger_severity(_FATAL)
    try:
        opened = onnxruntime.InferenceSession(_probe(), providers=[PROVIDER], enable_fallback=0)
    except Exception as error:  # noqa: BLE001  # ONNX Runtime's errors share no base but this one
        # The signature of the function that failed comes first.
        words = " ".join(str(error).split()).rpartition("&) ")[2].rstrip(".")
        return f"its provider does not start: {words}; {_INSTALL}"
    finally:
        onnxruntime.set_default_logger_severity(_WARNINGS)
    if PROVIDER not in opened.get_providers():
        return f"its provider does not start, without a word of why; {_INSTALL}"
    return None


def open_model(path: Path, *, threads: int = 1) -> cpu.OnnxRuntimeSession:
    """Open a file; every node must be TensorRT's.

    Args:
        path: The ``.onnx`` file.
        threads: Of ONNX Runtime on the CPU, which has nothing to do here.

    Raises:
        InputError: TensorRT cannot run it whole, with the reason.
    """
    reason = missing()
    if reason is not None:
        raise InputError(f"not measured: {reason}")
    options = cpu.session_options(threads)
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    session = cpu.native_session(path, options, [(PROVIDER, settings(path))])
    if session.get_providers()[0] != PROVIDER:
        raise InputError(f"not measured: TensorRT does not take {path}")
    return cpu.wrapped(session, path)


def settings(path: Path) -> dict[str, str]:
    """What TensorRT may compute in: the types that the file itself has, and no others.

    With float16 allowed for a float32 file, another network would be measured than the one in the file.
    """
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    has_int8 = any(node.op_type == "QuantizeLinear" for node in graph.node)
    has_fp16 = any(one.data_type == onnx.TensorProto.FLOAT16 for one in graph.initializer)
    return {"trt_int8_enable": str(has_int8), "trt_fp16_enable": str(has_fp16)}


def _probe() -> bytes:
    """The bytes of an ONNX file with one Relu."""
    from onnx import TensorProto, helper

    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, _PROBE_VALUES]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "probe", ports[:1], ports[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content
