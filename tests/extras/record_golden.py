"""Records what sentence-transformers and wordllama themselves answer: ``python -m tests.extras.record_golden``.

Needs the extra ``peers``.
"""

from __future__ import annotations

import numpy as np

from models.protocol import Vectors
from tests.unit.models.golden import FILE, golden_texts


def sentence_transformers_vectors(texts: list[str]) -> Vectors:
    """all-MiniLM-L6-v2 in 32-bit arithmetic, with the model's own window of 256 tokens."""
    from sentence_transformers import SentenceTransformer

    from models.engines.minilm import WEIGHTS
    from models.weights import locate

    model = SentenceTransformer(str(locate(WEIGHTS, None)["model.safetensors"].parent), device="cpu")
    model.max_seq_length = 256
    vectors: Vectors = model.encode(texts, normalize_embeddings=True)
    return vectors


def wordllama_vectors(texts: list[str]) -> Vectors:
    """wordllama's packaged embeddings through its own code, given its packaged tokenizer."""
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer
    from wordllama.inference import WordLlamaInference

    from models.engines.static import EMBEDDING, TOKENIZER, WEIGHTS
    from models.weights import locate

    files = locate(WEIGHTS, None)
    embedding = load_file(files[EMBEDDING])["embedding.weight"]
    model = WordLlamaInference(embedding, Tokenizer.from_file(str(files[TOKENIZER])))
    vectors: Vectors = model.embed(texts, norm=True)
    return vectors


def main() -> None:
    """Writes the file and prints where."""
    texts = golden_texts()
    np.savez_compressed(
        FILE,
        minilm=sentence_transformers_vectors(texts).astype(np.float16),
        static=wordllama_vectors(texts).astype(np.float16),
    )
    print(f"wrote {FILE}")


if __name__ == "__main__":
    main()
