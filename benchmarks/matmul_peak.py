"""The fastest that this machine multiplies 8-bit matrices, as the engine's libraries do it: OpenVINO, which uses the
instructions of CPUs that have some for it, and ONNX Runtime, where it is installed, which is faster on the others.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import openvino as ov
import openvino.opset13 as op

LAYERS = 8
SECONDS = 2.0
_OPENVINO_SHAPE = (1024, 2048, 2048)
# Of the shapes tried, from 256 x 384 x 384 to 1024 x 2048 x 2048, the fastest: weights stay in a core's cache.
_ONNXRUNTIME_SHAPE = (256, 384, 384)


def int8_peak(threads: int) -> float:
    """Operations (multiplications and additions) a second of the faster library, each the best of many runs."""
    runs = [(_openvino(threads), _OPENVINO_SHAPE)]
    if importlib.util.find_spec("onnxruntime"):
        runs.append((_onnxruntime(threads), _ONNXRUNTIME_SHAPE))
    return max(2 * rows * inner * outer * LAYERS * threads / _fastest(run) for run, (rows, inner, outer) in runs)


def _fastest(run: Callable[[], None]) -> float:
    best, end = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best


def _weights(outer: int, inner: int) -> npt.NDArray[np.int8]:
    return np.random.default_rng(0).integers(-64, 65, (LAYERS, outer, inner), dtype=np.int8)


def _openvino(threads: int) -> Callable[[], None]:
    """A stack of products, as a graph in which nothing else takes time worth mentioning."""
    rows, inner, outer = _OPENVINO_SHAPE
    data = op.parameter(ov.PartialShape([rows, inner]), np.float32, name="data")
    state: ov.Node = data
    for steps in _weights(outer, inner):
        weight = op.multiply(op.convert(op.constant(steps), np.float32), op.constant(np.float32(0.01)))
        low, high = op.constant(np.float32(-128)), op.constant(np.float32(127))
        state = op.matmul(op.fake_quantize(state, low, high, low, high, 256), weight, False, True)
    properties = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": threads, "INFERENCE_PRECISION_HINT": "bf16"}
    compiled = ov.Core().compile_model(ov.Model([state], [data], "products"), "CPU", properties)
    requests = [compiled.create_infer_request() for _ in range(threads)]
    values = np.random.default_rng(1).standard_normal((rows, inner)).astype(np.float32)

    def run() -> None:
        for request in requests:
            request.start_async([values])
        for request in requests:
            request.wait()

    return run


def _onnxruntime(threads: int) -> Callable[[], None]:
    import onnxruntime as ort
    from onnx import TensorProto, helper, numpy_helper

    rows, inner, outer = _ONNXRUNTIME_SHAPE
    products = [f"product_{layer}" for layer in range(LAYERS)]
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["data", f"weight_{name}"], [name]) for name in products],
        "products",
        [helper.make_tensor_value_info("data", TensorProto.UINT8, [rows, inner])],
        [helper.make_tensor_value_info(name, TensorProto.INT32, [rows, outer]) for name in products],
        [
            numpy_helper.from_array(weight, f"weight_{name}")
            for name, weight in zip(products, _weights(inner, outer), strict=True)
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    values = np.random.default_rng(1).integers(0, 256, (rows, inner), dtype=np.uint8)
    pool = ThreadPoolExecutor(threads)

    def run() -> None:
        list(pool.map(lambda _: session.run(None, {"data": values}), range(threads)))

    return run
