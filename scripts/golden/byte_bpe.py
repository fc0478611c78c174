#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/byte_bpe/ with PyPI tokenizers 0.23.3: tiny byte-level BPE tokenizers trained on the texts below,
and what they make of others. The first one also goes into tests/golden/olmoe/mha, whose vocabulary has its size.

    python scripts/golden/byte_bpe.py
"""
import json
import pathlib

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

golden = pathlib.Path(__file__).parents[2] / "tests/golden"
TRAINING = ["The red circle is above the blue square, and the green circle is below it.",
            "the the the circle's circles they're there, we'll see what we've seen",
            "    if x == 10:\n        return 12345\n\n\n  end", "naïve café über Straße", "日本語のテキスト、日本語"] * 4
TEXTS = ["", " ", "the circle", " the circle", "The  circle   is\there\n", "\n\n  x\n \n", "12345 1 22", "a1b2 c3", "don't we'll 'tis '' 's",
         "DON'T WE'LL", "it''s", "naïve café", "nai\u0308ve cafe\u0301 A\u030a\u0323 \u1100\u1161\u11a8 \u2126 \ufb01", "日本語テキスト",
         "👩‍👩‍👧 emoji 🎉!", "x²½Ⅷ٣४", "e\u0301e\u0323\u0301\u0301", "\u00a0\u2003\u3000wide  \u2028spaces", "tab\t\tand\r\nreturn\r",
         "<|endoftext|>", "the<|endoftext|> circle<|user|>the", "<|endof", "a                b", "a        b   c    d", "        lead",
         "trail        ", "<tag>x</tag>", "ſ K Å İ ß", "क्षि हिन्दी", "עִבְרִית", "a" * 50, "ab" * 40, " " * 30, "!?!?...---", "_x_ __y__",
         "\u0000\u0001\u007f control", "\U0002f800 \uf900", "mixed日本1the!  \n"]


def trained(size, normalizer, add_prefix_space, specials, added):
    tokenizer = Tokenizer(models.BPE())
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(TRAINING, trainers.BpeTrainer(
        vocab_size=size, special_tokens=specials, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    tokenizer.add_tokens(added)
    return tokenizer


def write(name, tokenizer):
    folder = golden / "byte_bpe"
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / f"{name}.json"))
    cases = [{"text": text, "ids": (ids := tokenizer.encode(text).ids), "decoded": tokenizer.decode(ids, skip_special_tokens=False)}
             for text in TEXTS]
    (folder / f"{name}_cases.json").write_text(json.dumps(cases, ensure_ascii=True, indent=0) + "\n")


runs = [AddedToken(" " * n, normalized=True, special=False) for n in range(8, 1, -2)]
neox = trained(308, normalizers.NFC(), False, ["<|endoftext|>", "<|padding|>"], runs + [AddedToken("<|user|>", special=True)])
neox.post_processor = processors.ByteLevel(trim_offsets=True)
write("neox", neox)
neox.save(str(golden / "olmoe/mha/tokenizer.json"))
plain = trained(300, None, True, ["<|endoftext|>"], [AddedToken("<tag>", normalized=False)])
plain.post_processor = processors.TemplateProcessing(single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)])
write("prefix", plain)
