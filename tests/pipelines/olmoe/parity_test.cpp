// SPDX-License-Identifier: Apache-2.0
// Against transformers' OlmoeForCausalLM on its own folders.
#include <c10/core/InferenceMode.h>

#include "core/rng.h"
#include "pipelines/olmoe/generate.h"
#include "tests/pipelines/olmoe/golden.h"

namespace polyphony::pipelines {
namespace {

class OlmoeParity : public ::testing::TestWithParam<const char*> {
 protected:
  const TensorMap io_ = olmoe_io(GetParam());
  const OlmoeModel model_ = load_olmoe(olmoe_golden(GetParam())).model;
  const c10::InferenceMode inference_;
};

TEST_P(OlmoeParity, GivesTheLogitsOfTransformers) {
  const auto ids_BS = io_.at("input_ids");
  for (int64_t b = 0; b < ids_BS.size(0); ++b)
    EXPECT_LE(largest_error(forward(model_, ids_BS[b]), io_.at("logits")[b]), 1e-5) << b;
}

TEST_P(OlmoeParity, ContinuesAPromptAsTransformersDoesGreedily) {
  const auto prompt = io_.at("prompt").contiguous(), expected = io_.at("greedy").contiguous();
  auto endless = model_;
  endless.config.eos_token_ids = {};
  OlmoeCache cache;
  auto generator = make_generator(0);
  std::vector<int64_t> made;
  const std::span<const int64_t> ids(prompt.const_data_ptr<int64_t>(), static_cast<size_t>(prompt.numel()));
  const auto why =
      generate_tokens(endless, ids, {.max_tokens = expected.numel()}, generator, cache, [&](int64_t token) {
        made.push_back(token);
        return true;
      });
  EXPECT_EQ(why, FinishReason::max_tokens);
  EXPECT_EQ(made, std::vector<int64_t>(expected.const_data_ptr<int64_t>(),
                                       expected.const_data_ptr<int64_t>() + expected.numel()));
}

TEST_P(OlmoeParity, GivesTheSameLogitsTokenByTokenAndInPieces) {
  const auto ids_S = io_.at("input_ids")[0];
  const auto whole = forward(model_, ids_S);
  for (const auto& pieces : {std::vector<int64_t>{1, 1, 1, 1, 1, 1, 1, 1, 1}, {4, 1, 4}, {1, 8}, {0, 9}}) {
    OlmoeCache cache;
    std::vector<at::Tensor> logits;
    for (const int64_t count : pieces) logits.push_back(forward(model_, ids_S.narrow(0, cache.length(), count), cache));
    EXPECT_EQ(cache.length(), 9);
    EXPECT_LE(largest_error(at::cat(logits), whole), 1e-5);
  }
}

TEST_P(OlmoeParity, StaysNearWithPackedWeights) {
  const auto expected = io_.at("logits")[0];
  const std::pair<ops::WeightFormat, double> formats[] = {
      {ops::WeightFormat::bf16, 3e-2}, {ops::WeightFormat::int8, 5e-2}, {ops::WeightFormat::int4, 4e-1}};
  for (const auto& [format, tolerance] : formats) {
    const auto model = load_olmoe(olmoe_golden(GetParam()), format).model;
    EXPECT_EQ(std::get<ops::PackedMatrices>(model.layers[0].w2_EDF).format, format);
    const auto actual = forward(model, io_.at("input_ids")[0]);
    EXPECT_EQ(actual.scalar_type(), at::kFloat);
    // A rounded score may choose another expert in so small a model: most tokens are near, not each.
    const auto error_S = (actual - expected).square().mean(1).sqrt();
    EXPECT_LE(error_S.median().item<double>(), tolerance * rms(expected)) << ops::to_string(format);
    OlmoeCache cache;
    std::vector<at::Tensor> steps;
    for (int64_t t = 0; t < 9; ++t) steps.push_back(forward(model, io_.at("input_ids")[0].narrow(0, t, 1), cache));
    const auto step_error_S = (at::cat(steps) - actual).square().mean(1).sqrt();
    EXPECT_LE(step_error_S.median().item<double>(), 3e-2 * rms(expected)) << ops::to_string(format);
  }
}

INSTANTIATE_TEST_SUITE_P(Folders, OlmoeParity, ::testing::Values("mha", "gqa", "sharded"),
                         [](const auto& folder) { return std::string(folder.param); });

}  // namespace
}  // namespace polyphony::pipelines
