# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/moe_layers/moe_layers.safetensors: MoE blocks of transformers 5.23 on random weights, in our names."""
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers.models.deepseek_v2.modeling_deepseek_v2 import DeepseekV2Config, DeepseekV2Moe
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3Config, DeepseekV3MoE
from transformers.models.ernie4_5_moe.modeling_ernie4_5_moe import Ernie4_5_MoeConfig, Ernie4_5_MoeSparseMoeBlock
from transformers.models.mixtral.modeling_mixtral import MixtralConfig, MixtralSparseMoeBlock, load_balancing_loss_func
from transformers.models.olmoe.modeling_olmoe import OlmoeConfig, OlmoeSparseMoeBlock

D, F, E, T = 8, 6, 8, 16
COMMON = dict(hidden_size=D, num_attention_heads=2, num_experts_per_tok=3, experts_implementation="eager")
BLOCKS = {
    "mixtral": lambda: MixtralSparseMoeBlock(MixtralConfig(**COMMON, intermediate_size=F, num_local_experts=E)),
    "olmoe": lambda: OlmoeSparseMoeBlock(OlmoeConfig(**COMMON, intermediate_size=F, num_experts=E, norm_topk_prob=False)),
    "ernie": lambda: Ernie4_5_MoeSparseMoeBlock(
        Ernie4_5_MoeConfig(hidden_size=D, experts_implementation="eager", moe_k=3, num_attention_heads=2, moe_num_experts=E,
                           moe_intermediate_size=F, moe_num_shared_experts=2)),
    "deepseek_v2": lambda: DeepseekV2Moe(
        DeepseekV2Config(**COMMON, moe_intermediate_size=F, n_routed_experts=E, n_shared_experts=2, n_group=4,
                         topk_group=2, topk_method="group_limited_greedy", routed_scaling_factor=16.0)),
    "deepseek_v3": lambda: DeepseekV3MoE(
        DeepseekV3Config(**COMMON, moe_intermediate_size=F, n_routed_experts=E, n_shared_experts=1, n_group=4,
                         topk_group=2, norm_topk_prob=True, routed_scaling_factor=2.5)),
}


def main(folder: Path) -> None:
    torch.manual_seed(0)
    tensors = {}
    for name, make in BLOCKS.items():
        block = make().float().eval()
        state = block.state_dict()
        for key, value in state.items():
            value.normal_(0, 0.1 if "bias" in key else 0.5)
        x = torch.randn(1, T, D)
        y = block(x)
        y = y[0] if isinstance(y, tuple) else y
        find = lambda *ends: next((v for k, v in state.items() if k.endswith(ends)), None)
        ours = {
            "gate.weight": find("gate.weight"),
            "gate.e_score_correction_bias": find("e_score_correction_bias"),
            "experts.w13": find("experts.gate_up_proj"),
            "experts.w2": find("experts.down_proj"),
        }
        if find("shared_experts.gate_proj.weight") is not None:
            ours["shared_experts.w13"] = torch.cat(
                [find("shared_experts.gate_proj.weight"), find("shared_experts.up_proj.weight")])
            ours["shared_experts.w2"] = find("shared_experts.down_proj.weight")
        ours |= {"x": x[0], "y": y[0]}
        if name == "mixtral":
            ours["balance"] = load_balancing_loss_func((x[0] @ ours["gate.weight"].T,), E, top_k=3).reshape(1)
        for key, value in ours.items():
            if value is not None:
                tensors[f"{name}.{key}"] = (value.flatten() if "bias" in key else value).detach().contiguous().clone()
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "moe_layers.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "tests/golden/moe_layers"))
