"""The headline against a plain timed loop over the runtimes' own calls, and against ``litert-benchmark``.

Each measures by itself, so drift of the machine is in the difference; the three take turns, several times.
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from statistics import median

from benchmarks._files import folder_of, large_files, test_images
from benchmarks._result import Figure, write
from optkit.measure.latency import measure_latency
from optkit.measure.latency_figures import summarize

TURNS = 5
# One process, as a user would write it: load, warm up, time calls one by one on rotating images, take the median.
LITERT = """
import statistics, sys, time
import numpy as np
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
port = interpreter.get_input_details()[0]
scales = port["quantization_parameters"]["scales"]
images = np.load(sys.argv[2])
if len(scales):
    zero = port["quantization_parameters"]["zero_points"][0]
    images = np.clip(np.rint(images / scales[0]) + zero, -128, 127).astype(np.int8)
def call(position):
    interpreter.set_tensor(port["index"], images[position % 256][None])
    start = time.perf_counter_ns()
    interpreter.invoke()
    return time.perf_counter_ns() - start
"""
ONNX = """
import statistics, sys, time
import numpy as np
import onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name
images = np.load(sys.argv[2])
def call(position):
    feed = {name: images[position % 256][None]}
    start = time.perf_counter_ns()
    session.run(None, feed)
    return time.perf_counter_ns() - start
"""
LOOP = """
end = time.perf_counter() + 1
position = 0
while time.perf_counter() < end:
    call(position)
    position += 1
times = []
end = time.perf_counter() + 2
while time.perf_counter() < end:
    times.append(call(len(times)))
print(statistics.median(times) / 1000)
"""


def run(results: Path, names: list[str]) -> list[str]:  # noqa: ARG001  # a benchmark's signature
    """Write ``plain_loop.json``."""
    images = test_images()
    small = folder_of("lenet5", "fp32", "int8")
    figures, raw = [], {}
    for path in (small / "fp32.tflite", small / "int8.tflite", small / "fp32.onnx", small / "int8.onnx"):
        turns = [(headline(path, images), plain(path, images)) for _ in range(TURNS)]
        raw[path.name] = turns
        figures.append(_difference(f"{path.name}: headline / plain loop, less 1", turns))
    for path in large_files():
        turns = [(headline(path, images), litert_benchmark(path)) for _ in range(TURNS)]
        raw[path.name] = turns
        figures.append(_difference(f"{path.name}: headline / litert-benchmark, less 1", turns))
    return write(results, "plain_loop", figures, {"turns_us": raw, "columns": ["headline", "other"]})


def _difference(name: str, turns: list[tuple[float, float]]) -> Figure:
    ratio = median(ours / theirs for ours, theirs in turns)
    print(name, [(round(ours, 1), round(theirs, 1)) for ours, theirs in turns], flush=True)
    return Figure(name, abs(ratio - 1), "<=", 0.05, "relative")


def headline(path: Path, images: Path) -> float:
    """What the harness says, in µs."""
    with tempfile.TemporaryDirectory() as scratch:
        return summarize(measure_latency([path], path, images, log=Path(scratch) / "log.txt"), path).p50_us


def plain(path: Path, images: Path) -> float:
    """What a plain loop says, in µs: the median of three processes."""
    code = (LITERT if path.suffix == ".tflite" else ONNX) + LOOP
    command = [sys.executable, "-c", code, str(path), str(images)]
    times = [
        float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]) for _ in range(3)
    ]
    return median(times)


def litert_benchmark(path: Path) -> float:
    """What the runtime's own tool says, in µs."""
    tool = Path(sysconfig.get_path("scripts")) / "litert-benchmark"
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "result.json"
        command = [str(tool), "--model", str(path), "--num_threads", "1", "--num_runs", "500", "--warmup_runs", "100"]
        subprocess.run([*command, "--result_json", str(out)], check=True, capture_output=True)
        return float(json.loads(out.read_text())["latency"]["median_ms"]) * 1000
