// SPDX-License-Identifier: Apache-2.0
#include "core/ops/grouped_mlp/grouped_product.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/device.h"

namespace polyphony::ops {
namespace {

// Calls body(expert, first row, number of rows) for each expert with rows.
template <class Body>
void for_each_expert(const std::vector<int64_t>& offset, const Body& body) {
  for (size_t e = 0; e + 1 < offset.size(); ++e)
    if (offset[e + 1] > offset[e]) body(static_cast<int64_t>(e), offset[e], offset[e + 1] - offset[e]);
}

}  // namespace

bool multiplies_in_one_launch(const at::Tensor& x, at::IntArrayRef widths) {
  constexpr int kHopper = 9;
  return x.scalar_type() == at::kBFloat16 && gpu_generation(x.device()) >= kHopper &&
         std::all_of(widths.begin(), widths.end(), [](int64_t width) { return width % 8 == 0; });
}

RowGroups row_groups(const at::Tensor& offset_E1, bool one_launch) {
  const int64_t E = offset_E1.size(0) - 1;
  if (one_launch) return {.end_E = offset_E1.narrow(0, 1, E).to(at::kInt), .offset = {}};
  const at::Tensor host = offset_E1.cpu();
  const int64_t* offset = host.const_data_ptr<int64_t>();
  return {.end_E = {}, .offset = {offset, offset + E + 1}};
}

at::Tensor grouped_product(const at::Tensor& x_RK, const at::Tensor& w_EKN, const RowGroups& groups) {
  const bool has_rows = x_RK.size(0) > 0;
  if (groups.end_E.defined() && has_rows) return at::_grouped_mm(x_RK, w_EKN, groups.end_E);
  at::Tensor y_RN = at::empty({x_RK.size(0), w_EKN.size(2)}, x_RK.options());
  for_each_expert(groups.offset, [&](int64_t e, int64_t first, int64_t count) {
    at::Tensor y = y_RN.narrow(0, first, count);
    at::mm_out(y, x_RK.narrow(0, first, count), w_EKN.select(0, e));
  });
  return y_RN;
}

at::Tensor grouped_outer_product(const at::Tensor& left_RM, const at::Tensor& right_RN, const RowGroups& groups) {
  const bool has_rows = left_RM.size(0) > 0;
  if (groups.end_E.defined() && has_rows) {
    // On sm_100 an expert without rows is left as the memory was (pytorch/pytorch issue 172439).
    const at::Tensor begin_E = at::constant_pad_nd(groups.end_E.narrow(0, 0, groups.end_E.size(0) - 1), {1, 0});
    return at::_grouped_mm(left_RM.t(), right_RN, groups.end_E)
        .masked_fill_((groups.end_E == begin_E).view({-1, 1, 1}), 0);
  }
  const int64_t E = groups.end_E.defined() ? groups.end_E.size(0) : static_cast<int64_t>(groups.offset.size()) - 1;
  at::Tensor out_EMN = at::zeros({E, left_RM.size(1), right_RN.size(1)}, left_RM.options());
  for_each_expert(groups.offset, [&](int64_t e, int64_t first, int64_t count) {
    at::Tensor out = out_EMN.select(0, e);
    at::mm_out(out, left_RM.narrow(0, first, count).t(), right_RN.narrow(0, first, count));
  });
  return out_EMN;
}

}  // namespace polyphony::ops
