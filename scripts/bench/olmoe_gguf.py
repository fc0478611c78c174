# SPDX-License-Identifier: Apache-2.0
"""An OLMoE folder as llama.cpp's file, so that it runs the very same weights.

usage: olmoe_gguf.py FOLDER OUT.gguf                     bf16, as in the folder
       olmoe_gguf.py IN.gguf OUT.gguf Q8_0|Q4_0 THREADS  all matrices quantised by llama.cpp
"""
import json
import sys
from pathlib import Path

import gguf
import llama_cpp
import numpy as np
import tensors

NORMS = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"}
MATRICES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output"}
EXPERTS = {"gate_proj": "ffn_gate_exps", "up_proj": "ffn_up_exps", "down_proj": "ffn_down_exps"}


def weights_of(folder):
    out = {}
    for file in sorted(folder.glob("*.safetensors")):
        out |= tensors.load(file)
    return out


def convert(folder, target):
    config, weights = json.loads((folder / "config.json").read_text()), weights_of(folder)
    writer = gguf.GGUFWriter(target, "olmoe", use_temp_file=False)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config.get("rope_theta") or config["rope_parameters"]["rope_theta"])
    writer.add_expert_count(config["num_experts"])
    writer.add_expert_used_count(config["num_experts_per_tok"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("none")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)

    def wide(name, into):  # llama.cpp keeps norms and routers in f32
        array = weights[name]
        writer.add_tensor(into, tensors.to_float(array) if array.dtype == np.uint16 else array)

    def narrow(array, into):
        writer.add_tensor(into, array.view(np.uint8), raw_dtype=gguf.GGMLQuantizationType.BF16)
    narrow(weights["model.embed_tokens.weight"], "token_embd.weight")
    narrow(weights["lm_head.weight"], "output.weight")
    wide("model.norm.weight", "output_norm.weight")
    for i in range(config["num_hidden_layers"]):
        layer, block = f"model.layers.{i}", f"blk.{i}"
        for theirs, into in NORMS.items():
            wide(f"{layer}.{theirs}.weight", f"{block}.{into}.weight")
        for theirs, into in MATRICES.items():
            narrow(weights[f"{layer}.{theirs}.weight"], f"{block}.{into}.weight")
        wide(f"{layer}.mlp.gate.weight", f"{block}.ffn_gate_inp.weight")
        for theirs, into in EXPERTS.items():
            narrow(np.stack([weights[f"{layer}.mlp.experts.{e}.{theirs}.weight"] for e in range(config["num_experts"])]), f"{block}.{into}.weight")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def quantise(source, target, kind, threads):
    settings = llama_cpp.llama_model_quantize_default_params()
    settings.nthread, settings.pure = threads, True
    settings.ftype = {"Q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0, "Q4_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0}[kind]
    if llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), settings) != 0:
        sys.exit(f"olmoe_gguf: llama.cpp could not quantise to {kind}")


if len(sys.argv) == 3:
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
else:
    quantise(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
