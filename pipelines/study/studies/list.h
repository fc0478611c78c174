// SPDX-License-Identifier: Apache-2.0
// Every study of this folder, one file each.
#pragma once
#include "pipelines/study/study.h"

namespace polyphony::pipelines {

// Language models.
Study recurrent_router_study();
Study fine_grained_study();
Study top_p_study();
Study null_experts_study();
Study zero_computation_study();
Study dense_to_sparse_study();
Study stochastic_experts_study();
Study lsh_dispatch_study();
Study dense_training_study();
Study balance_losses_study();
// Other tasks.
Study union_of_experts_study();
Study adversarial_routing_study();
Study tree_gate_study();
Study modality_groups_study();
Study attention_gate_study();
Study laplace_gate_study();

}  // namespace polyphony::pipelines
