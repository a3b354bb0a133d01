"""Models with random weights in real models' shapes, for speed, which does not depend on what weights know.

``python -m benchmarks.random_models FOLDER [--engine embedding] [--shape base]`` writes one. They read MiniLM's tokens.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

from models.engines.minilm import WEIGHTS
from models.weights import locate

SHAPES = {"tiny": (128, 2, 2), "minilm": (384, 6, 12), "base": (768, 12, 12), "large": (1_024, 24, 16)}
"""Hidden size, layers and attention heads."""
ENGINES = ("embedding", "nli", "gliclass")
_GLICLASS_MARKS = ("<<LABEL>>", "<<SEP>>", "<<EXAMPLE>>")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--engine", choices=ENGINES, default="embedding")
    parser.add_argument("--shape", choices=SHAPES, default="base")
    options = parser.parse_args()
    save_random_model(options.folder, options.engine, options.shape)


def save_random_model(folder: Path, engine: str, shape: str) -> None:
    """Writes a BERT of the shape that ``engine`` can load, with its tokenizer, into the folder."""
    from tokenizers import Tokenizer
    from transformers import BertConfig, BertForSequenceClassification, BertModel

    folder.mkdir(parents=True, exist_ok=True)
    file = Path(shutil.copy(locate(WEIGHTS, None, ("tokenizer.json",))["tokenizer.json"], folder))
    hidden, layers, heads = SHAPES[shape]
    config: Any = BertConfig(
        hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=4 * hidden
    )
    if engine == "embedding":
        BertModel(config).save_pretrained(folder)
    elif engine == "nli":
        config.id2label = {0: "contradiction", 1: "neutral", 2: "entailment"}
        config.label2id = {name: number for number, name in config.id2label.items()}
        BertForSequenceClassification(config).save_pretrained(folder)
    else:
        from gliclass import GLiClassModel, GLiClassModelConfig

        tokenizer = Tokenizer.from_file(str(file))
        tokenizer.add_special_tokens(list(_GLICLASS_MARKS))
        tokenizer.save(str(file))
        config.vocab_size = tokenizer.get_vocab_size()
        label, text, example = (tokenizer.token_to_id(mark) for mark in _GLICLASS_MARKS)
        GLiClassModel(
            GLiClassModelConfig(
                encoder_config=config.to_dict(),
                encoder_model=shape,
                class_token_index=label,
                text_token_index=text,
                example_token_index=example,
                pooling_strategy="first",
                prompt_first=True,
            )
        ).save_pretrained(folder)


if __name__ == "__main__":
    main()
