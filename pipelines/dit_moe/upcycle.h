// SPDX-License-Identifier: Apache-2.0
// Sparse upcycling: a DiT-MoE that starts from a smaller one.
#pragma once
#include <string>

#include "pipelines/dit_moe/model.h"

namespace polyphony::pipelines {

// Copies `source` into `target`, as the published upcycling does: expert 0 of the source becomes every expert of the
// target, gates whose shape differs are drawn from N(0, 0.02), everything else is copied. One expert with K = 1 is the
// dense case. With equal configurations it is a plain copy. Returns a sentence for the log; empty for a plain copy.
// The default generator draws. Throws ConfigError where the two differ in more than the number of experts, the experts
// a token and settings of training.
std::string upcycle(const DitMoe& source, DitMoe& target);

}  // namespace polyphony::pipelines
