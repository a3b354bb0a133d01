"""Runs an ONNX sentence encoder on batches, several at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import onnxruntime as ort
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidGraph
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as MissingKernel

from models.bert.onnx_graph import OnnxModel
from models.bert.token_stream import stream
from models.protocol import Vectors
from models.window_encoder import PaddedBatch


class OnnxRunner:
    """A BatchRunner over a model of ``onnx_graph``.

    Each of the ``streams`` works on a batch of its own, on a thread of its own; they share what is left of ``threads``.
    Raises RuntimeError where this ONNX Runtime lacks an operator of the model.
    """

    def __init__(self, model: OnnxModel, dimension: int, threads: int, streams: int) -> None:
        self._dimension = dimension
        self._ahead = streams + 1
        options = ort.SessionOptions()
        # A run works on the thread that calls it, too.
        options.intra_op_num_threads = max(1, threads - streams + 1)
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Both keep memory for every shape that occurred, and are no faster.
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        values = [ort.OrtValue.ortvalue_from_numpy(tensor) for tensor in model.tensors.values()]
        options.add_external_initializers(list(model.tensors), values)
        try:
            self._session = ort.InferenceSession(model.graph, options, providers=["CPUExecutionProvider"])
        except (Fail, InvalidGraph, MissingKernel) as error:
            raise RuntimeError(str(error)) from error
        self._inputs = [described.name for described in self._session.get_inputs()]
        self._threads = ThreadPoolExecutor(streams, "minilm")

    @property
    def dimension(self) -> int:
        return self._dimension

    def run(self, batches: Iterable[PaddedBatch]) -> Iterator[Vectors]:
        busy: deque[Future[Vectors]] = deque()
        try:
            for batch in batches:
                if len(busy) == self._ahead:
                    yield busy.popleft().result()
                busy.append(self._threads.submit(self._vectors, batch))
            while busy:
                yield busy.popleft().result()
        finally:
            for future in busy:
                future.cancel()

    def _vectors(self, batch: PaddedBatch) -> Vectors:
        arrays = stream(batch).arrays
        answers = self._session.run(None, dict(zip(self._inputs, arrays, strict=True)))
        return np.asarray(answers[0], np.float32)
