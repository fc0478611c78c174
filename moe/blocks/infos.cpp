// SPDX-License-Identifier: Apache-2.0
#include "moe/blocks/infos.h"

namespace polyphony::moe {

std::vector<ExpertBlockInfo> expert_block_infos() {
  return {
      {.name = "attention_experts",
       .summary = "attention whose heads are experts: own or shared keys, all tokens' keys or the selected ones'",
       .source = "BAM (arXiv:2408.08274); Union-of-Experts (arXiv:2503.02495); MoA (arXiv:2210.05144)",
       .where = "moe/blocks/attention_experts.h"},
      {.name = "parallel_block",
       .summary = "attention experts and MLP experts of the same normalised input, each with a router of its own",
       .source = "BAM (arXiv:2408.08274)",
       .where = "moe/blocks/parallel_block.h"},
      {.name = "conv_channels",
       .summary = "convolution whose blocks of output channels are experts of an image",
       .source = "AdvMoE (arXiv:2308.10110)",
       .where = "moe/blocks/conv_channels.h"},
      {.name = "local_expert",
       .summary = "a frozen global expert, a small local one and a gate between them",
       .source = "Low-cost customisation (arXiv:1811.00056)",
       .where = "moe/blocks/local_expert.h"},
      {.name = "equivalent_split",
       .summary = "a dense MLP or attention cut into experts that together are exactly the dense one",
       .source = "Union-of-Experts (arXiv:2503.02495)",
       .where = "moe/transforms/equivalent_split.h"},
      {.name = "residual_layer",
       .summary = "routed experts and a dense MLP, weighted by a softmax",
       .source = "PR-MoE (arXiv:2201.05596)",
       .where = "shared_gate = \"residual\""},
      {.name = "gated_shared_expert",
       .summary = "a shared expert, weighted by the sigmoid of a gate",
       .source = "Qwen2-MoE (arXiv:2407.10671)",
       .where = "shared_gate = \"sigmoid\""},
      {.name = "pyramid",
       .summary = "another number of experts in each layer",
       .source = "PR-MoE (arXiv:2201.05596)",
       .where = "experts_by_layer = [4, 4, 8]"},
      {.name = "compressed_dispatch",
       .summary = "rows of an expert that hash alike are computed as their mean, each with its distance added back",
       .source = "LSH-MoE (arXiv:2411.08446)",
       .where = "lsh_hashes = 6"},
  };
}

}  // namespace polyphony::moe
