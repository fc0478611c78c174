#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/olmoe/: OLMoE folders of random weights and what transformers makes of them (PyPI transformers
5.23.0, torch 2.11.0, safetensors 0.8.0).

    python scripts/golden/tiny_olmoe.py

mha, gqa, sharded   folders as save_pretrained writes them; they differ in heads, normalised weights, tied head, clipping
io.safetensors      in each: input_ids (B, S), logits (B, S, V) f32; prompt (P) and greedy (N): what follows it
"""
import pathlib

import torch
from safetensors.torch import save_file
from transformers import OlmoeConfig, OlmoeForCausalLM

golden = pathlib.Path(__file__).parents[2] / "tests/golden/olmoe"
COMMON = {"vocab_size": 320, "hidden_size": 16, "intermediate_size": 12, "num_hidden_layers": 2, "max_position_embeddings": 64,
          "num_experts": 5, "num_experts_per_tok": 2, "pad_token_id": 1, "bos_token_id": None, "eos_token_id": 0, "rms_norm_eps": 1e-5}
CASES = {
    "mha": {"num_attention_heads": 4, "num_key_value_heads": 4, "norm_topk_prob": False, "tie_word_embeddings": False},
    "gqa": {"num_attention_heads": 4, "num_key_value_heads": 2, "norm_topk_prob": True, "tie_word_embeddings": True,
            "clip_qkv": 0.8, "rope_parameters": {"rope_type": "default", "rope_theta": 500.0}, "vocab_size": 40},
    "sharded": {"num_attention_heads": 2, "num_key_value_heads": 1, "norm_topk_prob": False, "tie_word_embeddings": False,
                "vocab_size": 40, "num_experts": 3, "num_experts_per_tok": 3, "num_hidden_layers": 3},
}


@torch.no_grad()
def make(name, changes, seed):
    torch.manual_seed(seed)
    config = OlmoeConfig(**(COMMON | changes))
    model = OlmoeForCausalLM(config).eval()
    for key, parameter in model.named_parameters():
        if key.endswith("norm.weight") or "layernorm" in key:
            parameter.copy_(1 + 0.2 * torch.randn_like(parameter))
        elif key.endswith("embed_tokens.weight"):
            parameter.copy_(torch.randn_like(parameter) * 0.3)
        else:
            parameter.copy_(torch.randn_like(parameter) * 1.2 / parameter.shape[-1] ** 0.5)
    folder = golden / name
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder, max_shard_size="8KB" if name == "sharded" else "1GB")
    (folder / "generation_config.json").unlink(missing_ok=True)
    ids = torch.randint(2, config.vocab_size, (2, 9))
    prompt = torch.randint(2, config.vocab_size, (1, 5))
    greedy = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=20, do_sample=False,
                            eos_token_id=None)[0, 5:]
    save_file({"input_ids": ids, "logits": model(ids).logits.contiguous(), "prompt": prompt[0].contiguous(),
               "greedy": greedy.contiguous()}, folder / "io.safetensors")


for seed, (name, changes) in enumerate(CASES.items()):
    make(name, changes, seed + 11)
