// SPDX-License-Identifier: Apache-2.0
#include "pipelines/dit_moe/routing_record.h"

#include <ATen/ATen.h>

#include "core/check.h"

namespace polyphony::pipelines {
namespace {

template <class T>
void append(std::vector<T>& out, const at::Tensor& values) {
  const auto flat = values.contiguous();
  out.insert(out.end(), flat.const_data_ptr<T>(), flat.const_data_ptr<T>() + flat.numel());
}

// Of each outer index, the `inner` values of every record in turn.
template <class T, class Values>
std::vector<T> interleave(const std::vector<RoutingRecord>& records, int64_t outer, const Values& values) {
  std::vector<T> out;
  for (int64_t i = 0; i < outer; ++i)
    for (const auto& record : records) {
      const auto& from = values(record);
      const auto inner = static_cast<int64_t>(from.size()) / outer;
      out.insert(out.end(), from.begin() + i * inner, from.begin() + (i + 1) * inner);
    }
  return out;
}

}  // namespace

void add_step(RoutingRecord& record, double t, const std::vector<moe::Routing>& routings, int64_t images) {
  for (const auto& routing : routings) {
    const int64_t T = routing.num_tokens, N = routing.token_N.size(0);
    check<ShapeError>(images > 0 && T % images == 0 && T > 0 && N % T == 0, "[routing record] expected ", images,
                      " pictures of equal length, got ", T, " tokens and ", N, " rows");
    const int64_t K = N / T;
    const auto [token, order] = routing.token_N.sort(/*stable=*/true, /*dim=*/0, /*descending=*/false);
    check<ShapeError>(at::equal(token, at::arange(T, token.options()).repeat_interleave(K)),
                      "[routing record] expected ", K, " choices of every token");
    append(record.expert_ids, routing.expert_N.index_select(0, order));
    append(record.expert_weights, routing.weight_N.detach().to(at::kFloat).index_select(0, order));
    const std::vector<int64_t> step = {0, std::ssize(routings), images, T / images, K};
    if (record.shape.empty()) record.shape = step;
    check<ShapeError>(std::equal(step.begin() + 1, step.end(), record.shape.begin() + 1),
                      "[routing record] expected every layer and step to have the same shape");
  }
  ++record.shape[0];
  record.timesteps.push_back(static_cast<float>(t));
}

RoutingRecord join_images(const std::vector<RoutingRecord>& records) {
  check<ShapeError>(!records.empty(), "[routing record] expected at least one picture");
  RoutingRecord out{.shape = records.front().shape, .timesteps = records.front().timesteps};
  out.shape[2] = 0;
  for (const auto& record : records) {
    auto shape = record.shape;
    out.shape[2] += shape[2];
    shape[2] = records.front().shape[2];
    check<ShapeError>(shape == records.front().shape && record.timesteps == out.timesteps,
                      "[routing record] expected pictures drawn in the same steps");
  }
  const int64_t outer = out.shape[0] * out.shape[1];
  out.expert_ids = interleave<int64_t>(
      records, outer, [](const RoutingRecord& r) -> auto& { return r.expert_ids; });
  out.expert_weights = interleave<float>(
      records, outer, [](const RoutingRecord& r) -> auto& { return r.expert_weights; });
  return out;
}

}  // namespace polyphony::pipelines
