"""What this machine's CPU multiplies 8-bit integers with: an int8 model's answers depend on it.

OpenVINO says of every CPU that it has int8. Where no instruction adds products in 32 bits, kernels add pairs of them in
16, which saturate: a model whose weights were not made for that then computes other vectors (``minilm`` with a mean
cosine of 0.989 to the exact ones, instead of 0.997).
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Literal

Int8Instructions = Literal["VNNI", "AVX2", "I8MM", "dot products", "none", "unknown instructions"]

_CPUINFO = Path("/proc/cpuinfo")
_LISTS = ("flags", "Features")
"""What Linux calls the list of a processor's features on x86 and on ARM."""
# Of "AVX2" it is ``vpmaddubsw``, the one that adds in 16 bits.
_NAMES: dict[Int8Instructions, Collection[str]] = {
    "VNNI": ("avx512_vnni", "avx_vnni"),
    "AVX2": ("avx2",),
    "I8MM": ("i8mm",),
    "dot products": ("asimddp",),
}


@cache
def int8_instructions() -> Int8Instructions:
    """Of this machine, read once a process; "unknown instructions" where its system is not Linux, which tells them."""
    try:
        return parse_int8_instructions(_CPUINFO.read_text())
    except OSError:
        return "unknown instructions"


def parse_int8_instructions(cpuinfo: str) -> Int8Instructions:
    """The best of them that every processor in a text like ``/proc/cpuinfo`` has."""
    lines = (line.partition(":") for line in cpuinfo.splitlines())
    features = [frozenset(value.split()) for name, _, value in lines if name.strip() in _LISTS]
    if not features:
        return "unknown instructions"
    common = frozenset.intersection(*features)
    return next((found for found, names in _NAMES.items() if not common.isdisjoint(names)), "none")
