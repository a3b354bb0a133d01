"""The fastest that this machine multiplies 8-bit matrices, as OpenVINO does it in the engine."""

from __future__ import annotations

import time

import numpy as np
import openvino as ov
import openvino.opset13 as op

ROWS, INNER, OUTER = 1024, 2048, 2048
LAYERS = 8
SECONDS = 2.0


def int8_peak(threads: int) -> float:
    """Operations (multiplications and additions) a second, the best of many runs of a stack of large products."""
    random = np.random.default_rng(0)
    data = op.parameter(ov.PartialShape([ROWS, INNER]), np.float32, name="data")
    state: ov.Node = data
    for _ in range(LAYERS):
        steps = random.integers(-127, 128, (OUTER, INNER), dtype=np.int8)
        weight = op.multiply(op.convert(op.constant(steps), np.float32), op.constant(np.float32(0.01)))
        low, high = op.constant(np.float32(-128)), op.constant(np.float32(127))
        state = op.matmul(op.fake_quantize(state, low, high, low, high, 256), weight, False, True)
    properties = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": threads, "INFERENCE_PRECISION_HINT": "bf16"}
    compiled = ov.Core().compile_model(ov.Model([state], [data], "products"), "CPU", properties)
    requests = [compiled.create_infer_request() for _ in range(threads)]
    rows = random.standard_normal((ROWS, INNER)).astype(np.float32)
    operations = 2 * ROWS * INNER * OUTER * LAYERS * len(requests)
    best, end = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        for request in requests:
            request.start_async([rows])
        for request in requests:
            request.wait()
        best = min(best, time.perf_counter() - start)
    return operations / best
