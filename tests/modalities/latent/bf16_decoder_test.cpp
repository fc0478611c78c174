// SPDX-License-Identifier: Apache-2.0
#include "modalities/latent/bf16_decoder.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "modalities/latent/autoencoder_io.h"

namespace polyphony::latent {
namespace {

const std::filesystem::path kGolden = std::filesystem::path(POLYPHONY_SOURCE_DIR) / "tests/golden/autoencoder_kl";
constexpr double kTolerance = 2e-2;  // root mean square, relative

double distance(const at::Tensor& got, const at::Tensor& expected) {
  return ((got - expected).norm() / expected.norm()).item<double>();
}

// Norms away from one and zero, so that each of their parts counts.
void randomise_norms(AutoencoderKL& model) {
  const at::NoGradGuard no_grad;
  for (auto& item : model.named_parameters())
    if (item.value().dim() == 1) item.value().add_(0.3 * at::randn_like(item.value()));
}

class Bf16DecoderGolden : public ::testing::TestWithParam<std::string> {};

TEST_P(Bf16DecoderGolden, StaysCloseToDiffusers) {
  const auto model = load_autoencoder(kGolden / GetParam()).model;
  const TensorMap io = load_tensors(kGolden / GetParam() / "io.safetensors");
  const auto decoded = Bf16Decoder(*model).decode(io.at("mean"));
  ASSERT_EQ(decoded.sizes(), io.at("decoded").sizes());
  ASSERT_EQ(decoded.scalar_type(), at::kFloat);
  EXPECT_LT(distance(decoded, io.at("decoded")), kTolerance);
}

INSTANTIATE_TEST_SUITE_P(Cases, Bf16DecoderGolden, ::testing::Values("two_levels", "four_levels", "no_quant_conv"),
                         [](const auto& case_info) { return case_info.param; });

// A map of 5 tiles a row: the border of a tile must not show.
TEST(Bf16Decoder, HasNoSeams) {
  const at::NoGradGuard no_grad;
  at::manual_seed(5);
  AutoencoderKL model({.block_out_channels = {32, 64, 64}, .layers_per_block = 1, .norm_num_groups = 8});
  randomise_norms(model);
  const at::Tensor z = at::randn({2, 4, 70, 75});
  const at::Tensor expected = model.decode(z), error = (Bf16Decoder(model).decode(z) - expected).square();
  EXPECT_LT(error.mean().sqrt().item<double>(), kTolerance * expected.square().mean().sqrt().item<double>());
  for (int64_t column = 64; column < 300; column += 64) {
    const auto beside = error.narrow(3, column - 1, 2).mean().item<double>();
    EXPECT_LT(beside, 1.5 * error.mean().item<double>()) << "at column " << column;
  }
}

TEST(Bf16Decoder, HasTheSameBitsForAnyNumberOfThreads) {
  const at::NoGradGuard no_grad;
  at::manual_seed(6);
  const AutoencoderKL model({.block_out_channels = {32, 64}, .layers_per_block = 1});
  const Bf16Decoder decoder(model);
  const at::Tensor z = at::randn({1, 4, 40, 50});
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const auto one = decoder.decode(z);
  at::set_num_threads(2);
  const auto two = decoder.decode(z);
  at::set_num_threads(before);
  EXPECT_TRUE(at::equal(one, two));
}

TEST(Bf16Decoder, DecodesEachSampleByItself) {
  const at::NoGradGuard no_grad;
  at::manual_seed(7);
  const AutoencoderKL model({.block_out_channels = {32, 32}, .layers_per_block = 1});
  const Bf16Decoder decoder(model);
  const at::Tensor z = at::randn({3, 4, 9, 11});
  EXPECT_TRUE(at::equal(decoder.decode(z).narrow(0, 1, 1), decoder.decode(z.narrow(0, 1, 1))));
}

TEST(Bf16Decoder, RefusesLatentsOfAnotherModel) {
  const AutoencoderKL model({.block_out_channels = {32}, .layers_per_block = 1});
  const Bf16Decoder decoder(model);
  EXPECT_THROW(decoder.decode(at::zeros({1, 3, 8, 8})), ShapeError);
  EXPECT_THROW(decoder.decode(at::zeros({4, 8, 8})), ShapeError);
  EXPECT_THROW(decoder.decode(at::Tensor()), ShapeError);
}

}  // namespace
}  // namespace polyphony::latent
