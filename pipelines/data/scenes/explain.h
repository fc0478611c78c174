// SPDX-License-Identifier: Apache-2.0
// Why a picture is not the scene that was asked for, in words.
#pragma once
#include <string>
#include <vector>

#include "pipelines/data/scenes/detector.h"
#include "pipelines/data/scenes/scene.h"

namespace polyphony::scenes {

// One sentence a difference in colour, shape, place or background, places in order: "top left: a small brown circle was
// asked for, a small red circle is there"; none where picture_right and the background hold. Sizes are told along, but
// a wrong size alone is no difference.
std::vector<std::string> differences(const Detection& seen, const Scene& asked);

}  // namespace polyphony::scenes
