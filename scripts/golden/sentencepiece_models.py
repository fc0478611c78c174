#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Makes tests/golden/sentencepiece/: small models trained by the Python package, and what it makes of some texts.
"""Needs the sentencepiece package. Usage: scripts/golden/sentencepiece.py [output folder]"""
import io
import json
import sys
from pathlib import Path

import sentencepiece as spm

MODELS = {
    "unigram": dict(model_type="unigram", vocab_size=90, normalization_rule_name="nmt_nfkc",
                    user_defined_symbols=["<image>", "<audio>"]),
    "bpe": dict(model_type="bpe", vocab_size=340, normalization_rule_name="identity", byte_fallback=True,
                user_defined_symbols=["<image>"]),
    "word": dict(model_type="word", vocab_size=24, normalization_rule_name="identity"),
}
TEXTS = ["", " ", "a small red circle", "the blue square is left of a  tiny triangle ", "<image> a circle<image>",
         "Ünïcödé ﬁne Ｗｉｄｅ", "日本語 and emoji \U0001F469\u200d\U0001F467", "</s> <s>", "tab\tand\nline", "x" * 50]


def corpus():
    for size in ("small", "big", "tiny"):
        for colour in ("red", "green", "blue", "yellow"):
            for shape in ("circle", "square", "triangle"):
                for place in ("left of", "right of", "above", "below"):
                    yield f"a {size} {colour} {shape} is {place} the {colour} square"


def make(folder):
    folder.mkdir(parents=True, exist_ok=True)
    cases = {}
    for name, options in MODELS.items():
        model = io.BytesIO()
        spm.SentencePieceTrainer.train(sentence_iterator=corpus(), model_writer=model, hard_vocab_limit=False, num_threads=1,
                                       pad_id=0, unk_id=1, bos_id=2, eos_id=3, minloglevel=2, **options)
        (folder / f"{name}.model").write_bytes(model.getvalue())
        processor = spm.SentencePieceProcessor(model_proto=model.getvalue())
        ids = [processor.encode(text) for text in TEXTS]
        cases[name] = {
            "vocab_size": processor.vocab_size(),
            "texts": [{"text": text, "ids": row, "decoded": processor.decode(row)} for text, row in zip(TEXTS, ids)],
        }
    (folder / "cases.json").write_text(json.dumps(cases, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    make(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[2] / "tests/golden/sentencepiece"))
