// SPDX-License-Identifier: Apache-2.0
#include "core/ops/top_indices/top_indices.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cmath>

#include "core/check.h"
#include "core/ops/parallel.h"

namespace polyphony::ops {
namespace {

constexpr int64_t kMostChosen = 16;  // beyond, sorting is as quick

// Keeps the best so far in falling order; later ones go in behind their equals.
template <typename Value>
void top_of_row(const Value* value, int64_t E, int64_t K, int64_t* chosen) {
  const auto above = [](Value a, Value b) { return a > b || (std::isnan(a) && !std::isnan(b)); };
  int64_t count = 0;
  for (int64_t e = 0; e < E; ++e) {
    if (count == K && !above(value[e], value[chosen[K - 1]])) continue;
    int64_t place = count < K ? count++ : K - 1;
    for (; place > 0 && above(value[e], value[chosen[place - 1]]); --place) chosen[place] = chosen[place - 1];
    chosen[place] = e;
  }
}

template <typename Value>
at::Tensor top_of_rows(const at::Tensor& values_TE, int64_t K) {
  const int64_t T = values_TE.size(0), E = values_TE.size(1);
  auto chosen_TK = at::empty({T, K}, values_TE.options().dtype(at::kLong));
  const Value* value = values_TE.const_data_ptr<Value>();
  int64_t* chosen = chosen_TK.mutable_data_ptr<int64_t>();
  at::parallel_for(0, T, kRowsPerChunk, [&](int64_t first, int64_t last) {
    for (int64_t t = first; t < last; ++t) top_of_row(value + t * E, E, K, chosen + t * K);
  });
  return chosen_TK;
}

void check_input(const at::Tensor& values_TE, int64_t K) {
  check<ShapeError>(values_TE.defined() && values_TE.dim() == 2, "[top_indices] values must be (T, E)");
  check<ShapeError>(K >= 0 && K <= values_TE.size(1), "[top_indices] K must be in [0, ", values_TE.size(1), "], got ",
                    K);
}

}  // namespace

at::Tensor top_indices(const at::Tensor& values_TE, int64_t K) {
  check_input(values_TE, K);
  const auto given_TE = values_TE.detach();
  if (!given_TE.is_cpu() || K == 0 || K > kMostChosen) return top_indices_reference(given_TE, K);
  if (given_TE.scalar_type() == at::kFloat) return top_of_rows<float>(given_TE.contiguous(), K);
  if (given_TE.scalar_type() == at::kDouble) return top_of_rows<double>(given_TE.contiguous(), K);
  return top_indices_reference(given_TE, K);
}

at::Tensor top_indices_reference(const at::Tensor& values_TE, int64_t K) {
  check_input(values_TE, K);
  return std::get<1>(values_TE.detach().sort(/*stable=*/true, /*dim=*/-1, /*descending=*/true)).narrow(1, 0, K);
}

}  // namespace polyphony::ops
