// SPDX-License-Identifier: Apache-2.0
// Which combinations of shape, colour and place training never sees, and scenes drawn from either side.
#pragma once
#include "pipelines/data/scenes/rng.h"
#include "pipelines/data/scenes/scene.h"

namespace polyphony::scenes {

// train: scenes without any held-out combination. held_out: scenes with at least one. any: both.
enum class Split : uint8_t { train, held_out, any };

// True for about one combination of (shape, colour, place) in ten, by a fixed hash. Every pair of two of them still
// occurs in training, so a held-out combination is new only as a whole.
bool is_held_out(const Object& object);

bool belongs(const Scene& scene, Split split);

// A valid scene of the split: 1 to kMaxObjects objects with equal chance, everything else uniform within the split.
Scene random_scene(Rng& rng, Split split);

}  // namespace polyphony::scenes
