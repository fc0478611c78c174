// SPDX-License-Identifier: Apache-2.0
#include "modalities/image/orientation.h"

#include <ATen/ATen.h>

namespace polyphony::image {

namespace {

struct Turn {
  bool transpose;
  bool flip_rows;
  bool flip_columns;
};
constexpr Turn kTurns[] = {
    {false, false, false},                                             // 1 upright
    {false, false, true},  {false, true, true}, {false, true, false},  // 2 mirrored, 3 upside down, 4 both
    {true, false, false},  {true, false, true}, {true, true, true},   {true, true, false},  // 5..8 lie on a side
};

}  // namespace

at::Tensor apply_orientation(const at::Tensor& image_YXC, int orientation) {
  if (orientation < 2 || orientation > 8) return image_YXC;
  const Turn& turn = kTurns[orientation - 1];
  at::Tensor out_YXC = turn.transpose ? image_YXC.transpose(0, 1) : image_YXC;
  if (turn.flip_rows) out_YXC = out_YXC.flip({0});
  if (turn.flip_columns) out_YXC = out_YXC.flip({1});
  return out_YXC.contiguous();
}

}  // namespace polyphony::image
