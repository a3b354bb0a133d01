"""Where torch computes, in which arithmetic, and how data gets there and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from models.exceptions import ModelUnavailable


@dataclass(frozen=True, slots=True)
class TorchDevice:
    """``dtype`` is a torch dtype: bfloat16 on GPUs that have it, 16-bit floats on older ones, 32-bit on CPUs."""

    name: Literal["cpu", "cuda"]
    dtype: Any

    def send(self, tensor: Any) -> Any:
        """The tensor on the device; the copy to a GPU does not wait for its earlier work."""
        return tensor if self.name == "cpu" else tensor.pin_memory().to("cuda", non_blocking=True)

    def fetch(self, tensor: Any) -> tuple[Any, Any]:
        """The tensor in main memory, valid once the event beside it (None: at once) has happened."""
        if self.name == "cpu":
            return tensor, None
        import torch

        target = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        target.copy_(tensor, non_blocking=True)
        arrived = torch.cuda.Event()
        arrived.record()
        return target, arrived


def choose_device(threads: int | None, install: str) -> TorchDevice:
    """The GPU if there is one, else the CPU with so many threads. Raises ModelUnavailable without torch."""
    try:
        import torch
        import transformers  # noqa: F401 - asked for here so that the error says what to install
    except ImportError as error:
        raise ModelUnavailable(f"This engine needs {error.name}: {install}.") from None
    if torch.cuda.is_available():
        return TorchDevice("cuda", torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16)
    if threads is not None:
        torch.set_num_threads(threads)
    return TorchDevice("cpu", torch.float32)
