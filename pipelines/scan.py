"""The first look at an input: how many items each range holds, about how many tokens, and whether it is NDJSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from pipelines.file_kind import require_objects
from pipelines.ndjson import count_lines, is_object, may_be_object, parse_line, split_lines

CountTokens = Callable[[Sequence[str]], list[int]]


@dataclass(frozen=True, slots=True)
class RangeScan:
    """What one range holds. ``tokens`` is estimated from some of its lines; the rest is exact.

    ``has_object`` is true also where it is not known that the range holds none.
    """

    items: int
    tokens: float
    has_object: bool


def scan_lines(
    data: bytes, *, first: bool, samples: int, count_tokens: CountTokens, tried: int | None = None
) -> RangeScan:
    """Scan the lines of a range (as ``read_lines_of`` gave them), counting the tokens of up to ``samples`` of them.

    An object is looked for in the first ``tried`` lines that could be one, or in all of them (None). Where more could
    be one, it is not known that the range holds none.
    """
    items = count_lines(data, first=first)
    if items <= samples:
        sampled = [(line, 1.0) for line in split_lines(data, first=first)]
    else:
        sampled = _sample(data, first=first, samples=samples)
    has_object = any(is_object(line) for line, _ in sampled)
    read = ((parse_line(line), weight) for line, weight in sampled)
    usable = [(item.text, weight) for item, weight in read if item.text is not None]
    counts = count_tokens([text for text, _ in usable]) if usable else []
    return RangeScan(
        items=items,
        tokens=sum(count * weight for count, (_, weight) in zip(counts, usable, strict=True)),
        has_object=has_object or (items > samples and _may_have_object(data, first, tried)),
    )


def estimate_tokens(scans: Iterable[RangeScan]) -> int:
    """The tokens of all ranges."""
    return round(sum(scan.tokens for scan in scans))


def require_ndjson(scans: Sequence[RangeScan], head: bytes) -> None:
    """Raises InputRejected when the file holds no item, or no line of it is a JSON object."""
    items, has_object = sum(scan.items for scan in scans), any(scan.has_object for scan in scans)
    require_objects(items=items, has_object=has_object, head=head)


def _may_have_object(data: bytes, first: bool, tried: int | None) -> bool:
    candidates = (line for line in split_lines(data, first=first) if may_be_object(line))
    return any(map(is_object, islice(candidates, tried))) or next(candidates, None) is not None


def _sample(data: bytes, *, first: bool, samples: int) -> list[tuple[bytes, float]]:
    """Items' lines drawn in proportion to their lengths, and how many items each stands for.

    Hansen and Hurwitz's estimator: unbiased whatever the lines hold, and near exact where tokens go by length.
    Drawn at random within equal strata, since lines that repeat in a pattern would bias even steps.
    """
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n")) + 1
    if not data.endswith(b"\n"):
        ends = np.append(ends, len(data))
    starts = np.concatenate(([0], ends[:-1]))
    lengths = ends - starts
    reach = np.cumsum(lengths)
    jitter = np.random.default_rng(len(data)).random(samples)
    offsets = (np.arange(samples) + jitter) * (reach[-1] / samples)
    found = np.searchsorted(reach, offsets, side="right").clip(max=len(reach) - 1)
    drawn, times = np.unique(found, return_counts=True)
    weights = times * (reach[-1] / samples) / lengths[drawn]
    return [
        (line, float(weight))
        for start, end, weight in zip(starts[drawn], ends[drawn], weights, strict=True)
        for line in split_lines(data[start:end], first=first and start == 0)
    ]
