// SPDX-License-Identifier: Apache-2.0
// Which experts the patches of a picture went to, step by step, in the plain form that results hold.
#pragma once
#include <vector>

#include "moe/routing.h"
#include "pipelines/session.h"

namespace polyphony::pipelines {

// Adds one step: `routings` holds one routing a layer, with K rows for each of its tokens.
// Throws ShapeError where tokens have different numbers of rows.
void add_step(RoutingRecord& record, double t, const std::vector<moe::Routing>& routings, int64_t images);

// Records of pictures that were drawn one after another, side by side along the image axis.
// Throws ShapeError where they differ in another axis.
RoutingRecord join_images(const std::vector<RoutingRecord>& records);

}  // namespace polyphony::pipelines
