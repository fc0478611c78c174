// SPDX-License-Identifier: Apache-2.0
#include "pipelines/eval/expert_record.h"

#include <ATen/ATen.h>

#include "core/base/files.h"
#include "core/check.h"
#include "pipelines/data/scenes/scene.h"

namespace polyphony::pipelines {
namespace {

std::string place_name(int64_t row, int64_t column, int64_t rows, int64_t columns) {
  if (rows == scenes::kGridSize && columns == scenes::kGridSize)
    return std::string(scenes::kPlaces[static_cast<size_t>(row * columns + column)]);
  return join("row ", row, " column ", column);
}

void add_places(std::vector<std::string>& names, const char* modality, int64_t rows, int64_t columns) {
  for (int64_t i = 0; i < rows * columns; ++i)
    names.push_back(join(modality, " ", place_name(i / columns, i % columns, rows, columns)));
}

at::Tensor is_modality(const TokenSequence& fields, Modality m) { return fields.modality_T == static_cast<uint8_t>(m); }

}  // namespace

ExpertRecord::ExpertRecord(const JointConfig& config, int64_t num_steps) : grid_(config.grid()) {
  const auto moe = moe::resolved(config.backbone.moe);
  for (const auto& group : moe.groups)
    for (int64_t e = 0; e < group.num_experts; ++e) experts_.push_back(join(group.name, " ", e));
  for (int64_t e = std::ssize(experts_); e < moe.router.num_experts; ++e) experts_.push_back(join("expert ", e));
  for (int64_t s = 0; s < num_steps; ++s) steps_.names.push_back(join("step ", s + 1));
  add_places(places_.names, "latent", grid_.latent_rows, grid_.latent_columns);
  add_places(places_.names, "image", grid_.image_rows, grid_.image_columns);
}

// group_T i64: the group of each token, -1 for none.
void ExpertRecord::count(Table& table, const at::Tensor& group_T, const std::vector<moe::Routing>& routings) const {
  const auto M = std::ssize(table.names), E = std::ssize(experts_);
  for (size_t l = 0; l < routings.size(); ++l) {
    const auto& r = routings[l];
    if (table.rows_L_ME.size() <= l) {
      table.rows_L_ME.push_back(at::zeros({M, E}, at::kLong));
      table.tokens_L_M.push_back(at::zeros({M}, at::kLong));
    }
    const auto group_N = group_T.index_select(0, r.token_N);
    const auto cell_N = (group_N * E + r.expert_N).masked_select((group_N >= 0) & (r.expert_N < E));
    table.rows_L_ME[l] += at::bincount(cell_N, {}, M * E).view({M, E});
    table.tokens_L_M[l] += at::bincount(group_T.masked_select(group_T >= 0), {}, M);
  }
}

void ExpertRecord::add(const JointOutput& out, std::optional<int64_t> step) {
  const c10::InferenceMode inference;
  moe::add_routings(counts_, out.routings, out.fields.modality_T);
  const auto latent_T = is_modality(out.fields, Modality::latent), image_T = is_modality(out.fields, Modality::image);
  const auto none_T = at::full_like(out.fields.span_T, -1);
  if (step) count(steps_, none_T.masked_fill(latent_T, *step), out.routings);
  const auto row_T = out.fields.position_TA.select(1, 1).to(at::kLong);
  const auto column_T = out.fields.position_TA.select(1, 2).to(at::kLong);
  const int64_t first_image = grid_.latent_rows * grid_.latent_columns;
  const auto latent_place_T = row_T * grid_.latent_columns + column_T;
  const auto image_place_T = first_image + row_T * grid_.image_columns + column_T;
  count(places_, at::where(latent_T, latent_place_T, at::where(image_T, image_place_T, none_T)), out.routings);
}

ExpertLoad ExpertRecord::load_of(const Table& table, const char* by) const {
  ExpertLoad load{.by = by, .experts = experts_};
  for (size_t l = 0; l < table.rows_L_ME.size(); ++l) {
    LayerLoad layer;
    for (int64_t m = 0; m < std::ssize(table.names); ++m) {
      const auto rows_E = table.rows_L_ME[l][m];
      const auto total = rows_E.sum().item<int64_t>();
      if (total == 0) continue;
      layer.rows_M.push_back(table.names[static_cast<size_t>(m)]);
      layer.tokens_M.push_back(table.tokens_L_M[l][m].item<int64_t>());
      const auto share_E = (rows_E.to(at::kDouble) / static_cast<double>(total)).contiguous();
      const double* share = share_E.const_data_ptr<double>();
      layer.share_ME.emplace_back(share, share + share_E.numel());
    }
    layer.router_entropy = moe::expert_stats(counts_[l]).router_entropy;
    load.layers.push_back(std::move(layer));
  }
  return load;
}

ExpertLoad ExpertRecord::by_modality() const {
  ExpertLoad load{.experts = experts_};
  for (const auto& layer : counts_) {
    auto stats = moe::expert_stats(layer);
    load.layers.push_back({.rows_M = std::move(stats.modalities),
                           .tokens_M = std::move(stats.tokens_by_modality),
                           .share_ME = std::move(stats.load_by_modality),
                           .router_entropy = stats.router_entropy});
  }
  return load;
}

ExpertLoad ExpertRecord::by_step() const { return load_of(steps_, "denoising step"); }
ExpertLoad ExpertRecord::by_place() const { return load_of(places_, "place"); }

void ExpertRecord::write(const std::filesystem::path& folder) const {
  std::filesystem::create_directories(folder);
  const auto write_one = [&](const std::string& name, const ExpertLoad& load) {
    write_file_atomic(folder / (name + ".json"), to_json(load));
    write_file_atomic(folder / (name + ".svg"), expert_load_svg(load));
  };
  write_one("expert_load", by_modality());
  write_one("expert_steps", by_step());
  write_one("expert_places", by_place());
}

}  // namespace polyphony::pipelines
