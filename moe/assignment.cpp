// SPDX-License-Identifier: Apache-2.0
#include "moe/assignment.h"

#include <ATen/ATen.h>

#include <limits>
#include <queue>
#include <vector>

#include "core/check.h"

namespace polyphony::moe {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
// What a token raises a price by that has no other choice: more than benefits differ by.
constexpr double kLoneRaise = 1e6;

// A token's place at an expert; the cheapest is on top of its queue.
struct Place {
  double price;
  int64_t token;
  bool operator<(const Place& other) const { return price > other.price; }
};

class Auction {
 public:
  Auction(const double* benefit, int64_t num_experts, const int64_t* capacity, double epsilon)
      : benefit_(benefit), epsilon_(epsilon), capacity_(capacity, capacity + num_experts), places_(capacity_.size()) {}

  // The token takes the cheapest place of its best expert and raises its price until the second-best expert would do.
  // Returns the expert and the token that it drove out, or -1.
  std::pair<int64_t, int64_t> bid(int64_t token) {
    const size_t E = capacity_.size();
    double best = -kInfinity, second = -kInfinity;
    size_t choice = E;
    for (size_t e = 0; e < E; ++e) {
      const double value = benefit_[static_cast<size_t>(token) * E + e] - price(e);
      second = std::max(second, std::min(value, best));
      if (value <= best) continue;
      best = value;
      choice = e;
    }
    check<ShapeError>(choice < E, "[assignment] token ", token, " is forbidden to every expert that has room");
    const double raise = second == -kInfinity ? kLoneRaise : best - second + epsilon_;
    const double offer = price(choice) + raise;
    int64_t driven_out = -1;
    auto& places = places_[choice];
    if (static_cast<int64_t>(places.size()) == capacity_[choice]) {
      driven_out = places.top().token;
      places.pop();
    }
    places.push({offer, token});
    return {static_cast<int64_t>(choice), driven_out};
  }

 private:
  // Of the cheapest place: nothing while one is free.
  double price(size_t e) const {
    if (capacity_[e] == 0) return kInfinity;
    return static_cast<int64_t>(places_[e].size()) < capacity_[e] ? 0.0 : places_[e].top().price;
  }

  const double* benefit_;
  double epsilon_;
  std::vector<int64_t> capacity_;
  std::vector<std::priority_queue<Place>> places_;
};

}  // namespace

at::Tensor auction_assignment(const at::Tensor& benefit_TE, const at::Tensor& capacity_E, double epsilon) {
  check<ShapeError>(benefit_TE.dim() == 2 && capacity_E.dim() == 1 && capacity_E.size(0) == benefit_TE.size(1),
                    "[assignment] expected benefits (T, E) and capacities (E)");
  check<ShapeError>(epsilon > 0, "[assignment] epsilon must be positive, got ", epsilon);
  const int64_t T = benefit_TE.size(0), E = benefit_TE.size(1);
  check<ShapeError>(capacity_E.sum().item<int64_t>() >= T, "[assignment] ", T, " tokens do not fit into capacities of ",
                    capacity_E.sum().item<int64_t>());
  const auto benefit = benefit_TE.detach().to(at::kCPU, at::kDouble).contiguous();
  check<ShapeError>(!benefit.isnan().any().item<bool>(), "[assignment] benefits must not be NaN");
  const auto capacity = capacity_E.to(at::kCPU, at::kLong).contiguous();
  Auction auction(benefit.const_data_ptr<double>(), E, capacity.const_data_ptr<int64_t>(), epsilon);
  auto expert_T = at::full({T}, -1, at::kLong);
  auto* expert = expert_T.mutable_data_ptr<int64_t>();
  // Prices of tokens that fight over too few places rise for ever; a solvable auction ends long before.
  int64_t bids_left = 1000 * (T + E) * (E + 1);
  for (int64_t t = 0; t < T; ++t)
    for (int64_t bidder = t; bidder >= 0;) {
      check<ShapeError>(bids_left-- > 0, "[assignment] the capacities cannot hold the tokens of some group");
      const auto [choice, driven_out] = auction.bid(bidder);
      expert[bidder] = choice;
      bidder = driven_out;
    }
  return expert_T.to(benefit_TE.device());
}

at::Tensor linear_assignment(const at::Tensor& benefit_NN) {
  check<ShapeError>(benefit_NN.dim() == 2 && benefit_NN.size(0) == benefit_NN.size(1),
                    "[assignment] benefits must be square, got ", benefit_NN.sizes());
  check<ShapeError>(benefit_NN.detach().isfinite().all().item<bool>(), "[assignment] benefits must be finite");
  const int64_t n = benefit_NN.size(0);
  const auto cost = -benefit_NN.detach().to(at::kCPU, at::kDouble).contiguous();
  const auto* c = cost.const_data_ptr<double>();
  const auto N = static_cast<size_t>(n);
  // Rows and columns count from 1; column 0 holds the row that is being placed.
  std::vector<double> row_price(N + 1, 0.0), column_price(N + 1, 0.0);
  std::vector<size_t> row_of(N + 1, 0), came_from(N + 1, 0);
  for (size_t row = 1; row <= N; ++row) {
    row_of[0] = row;
    size_t column = 0;
    std::vector<double> slack(N + 1, kInfinity);
    std::vector<bool> seen(N + 1, false);
    do {
      seen[column] = true;
      const size_t here = row_of[column];
      double step = kInfinity;
      size_t next = 0;
      for (size_t j = 1; j <= N; ++j) {
        if (seen[j]) continue;
        const double reduced = c[(here - 1) * N + j - 1] - row_price[here] - column_price[j];
        if (reduced < slack[j]) {
          slack[j] = reduced;
          came_from[j] = column;
        }
        if (slack[j] < step) {
          step = slack[j];
          next = j;
        }
      }
      for (size_t j = 0; j <= N; ++j)
        if (seen[j]) {
          row_price[row_of[j]] += step;
          column_price[j] -= step;
        } else {
          slack[j] -= step;
        }
      column = next;
    } while (row_of[column] != 0);
    // The free column goes to the row before it on the path, and so on back to the new row.
    for (; column != 0; column = came_from[column]) row_of[column] = row_of[came_from[column]];
  }
  auto column_N = at::empty({n}, at::kLong);
  auto* out = column_N.mutable_data_ptr<int64_t>();
  for (size_t j = 1; j <= N; ++j) out[row_of[j] - 1] = static_cast<int64_t>(j) - 1;
  return column_N.to(benefit_NN.device());
}

}  // namespace polyphony::moe
