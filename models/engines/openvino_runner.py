"""Runs a compiled OpenVINO sentence encoder on batches, several at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Literal

import numpy as np
import openvino as ov

from models.protocol import Vectors
from models.window_encoder import PaddedBatch

Arithmetic = Literal["bf16", "f32"]


class OpenVinoRunner:
    """A BatchRunner over a graph with the inputs of ``bert_graph``.

    ``threads`` are shared evenly by ``streams``, each of which works on a batch of its own.
    """

    def __init__(self, model: ov.Model, dimension: int, arithmetic: Arithmetic, threads: int, streams: int) -> None:
        self._dimension = dimension
        properties = {
            "INFERENCE_PRECISION_HINT": arithmetic,
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": streams,
            "ENABLE_CPU_PINNING": False,
        }
        compiled = ov.Core().compile_model(model, "CPU", properties)
        self._requests = [compiled.create_infer_request() for _ in range(streams + 1)]

    @property
    def dimension(self) -> int:
        return self._dimension

    def run(self, batches: Iterable[PaddedBatch]) -> Iterator[Vectors]:
        idle = deque(self._requests)
        busy: deque[tuple[ov.InferRequest, PaddedBatch]] = deque()
        try:
            for batch in batches:
                if not idle:
                    yield self._finish(busy, idle)
                request = idle.popleft()
                request.set_input_tensor(0, ov.Tensor(batch.ids, shared_memory=True))
                request.set_input_tensor(1, ov.Tensor(batch.lengths, shared_memory=True))
                request.start_async()
                busy.append((request, batch))
            while busy:
                yield self._finish(busy, idle)
        finally:
            for request, _ in busy:
                request.wait()

    @staticmethod
    def _finish(busy: deque[tuple[ov.InferRequest, PaddedBatch]], idle: deque[ov.InferRequest]) -> Vectors:
        request, _batch = busy[0]
        request.wait()
        busy.popleft()
        vectors: Vectors = np.array(request.get_output_tensor(0).data, np.float32)
        idle.append(request)
        return vectors
