"""Where torch computes, in which arithmetic, and how data gets there and back."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from models.exceptions import ModelUnavailable


@dataclass(frozen=True, slots=True)
class TorchDevice:
    """``dtype`` is a torch dtype: bfloat16 on GPUs that have it, 16-bit floats on older ones, 32-bit on CPUs."""

    name: Literal["cpu", "cuda"]
    dtype: Any

    def stage(self, array: npt.NDArray[np.int32]) -> Any:
        """The array as a tensor in main memory, for a GPU in pages that it copies by itself."""
        import torch

        tensor = torch.from_numpy(array)
        return tensor if self.name == "cpu" else tensor.pin_memory()

    def send(self, staged: Any) -> Any:
        """A staged tensor of ids on the device; the copy to a GPU does not wait for its earlier work."""
        return staged.to(self.name, non_blocking=True).long()

    def fetch(self, tensor: Any) -> tuple[Any, Any]:
        """The tensor in main memory, valid once the event beside it (None: at once) has happened."""
        if self.name == "cpu":
            return tensor, None
        import torch

        target = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        target.copy_(tensor, non_blocking=True)
        new_event: Any = torch.cuda.Event
        arrived = new_event()
        arrived.record()
        return target, arrived


def choose_device(threads: int | None, install: str, *packages: str) -> TorchDevice:
    """The GPU if there is one, else the CPU with so many threads.

    Raises ModelUnavailable, which says to run ``install``, without torch, transformers or one of ``packages``.
    """
    missing = [name for name in ("torch", "transformers", *packages) if find_spec(name) is None]
    if missing:
        raise ModelUnavailable(f"This engine needs {' and '.join(missing)}: {install}.")
    import torch

    if torch.cuda.is_available():
        return TorchDevice("cuda", torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16)
    if threads is not None:
        torch.set_num_threads(threads)
    return TorchDevice("cpu", torch.float32)
