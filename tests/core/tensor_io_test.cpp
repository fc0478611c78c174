// SPDX-License-Identifier: Apache-2.0
// Tensors survive the way to disk and back, and modules take exactly what fits them.
#include "core/tensor_io.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/formats/safetensors.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_folder.h"

namespace polyphony {
namespace {

using testing::TemporaryFolder;

struct Leaf : torch::nn::Module {
  Leaf() {
    weight = register_parameter("weight", at::zeros({2, 3}));
    count = register_buffer("count", at::zeros({1}, at::kLong));
  }
  at::Tensor weight, count;
};

struct Tree : torch::nn::Module {
  Tree() {
    left = register_module("left", std::make_shared<Leaf>());
    right = register_module("right", std::make_shared<Leaf>());
  }
  std::shared_ptr<Leaf> left, right;
};

TensorMap tree_tensors() {
  return {{"left.weight", at::ones({2, 3})},
          {"left.count", at::ones({1}, at::kLong)},
          {"right.weight", at::full({2, 3}, 2)},
          {"right.count", at::full({1}, 2, at::kLong)}};
}

TEST(TensorIo, EveryElementTypeComesBackWithTheSameBits) {
  const TemporaryFolder folder;
  const at::Tensor numbers = at::arange(6).reshape({2, 3});
  TensorMap tensors;
  for (int i = 0; i < formats::kNumDTypes; ++i) {
    const auto dtype = static_cast<formats::DType>(i);
    tensors[std::string(formats::dtype_name(dtype))] = numbers.to(to_tensor_dtype(dtype));
    EXPECT_EQ(to_file_dtype(to_tensor_dtype(dtype)), dtype);
  }
  tensors["scalar"] = at::tensor(3.5f).squeeze();
  tensors["empty"] = at::empty({0, 4});
  save_tensors(folder / "x.safetensors", tensors, {{"format", "pt"}});
  const TensorMap loaded = load_tensors(folder / "x.safetensors");
  ASSERT_EQ(loaded.size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor& other = loaded.at(name);
    EXPECT_EQ(other.scalar_type(), tensor.scalar_type()) << name;
    EXPECT_EQ(other.sizes(), tensor.sizes()) << name;
    EXPECT_EQ(std::memcmp(other.data_ptr(), tensor.data_ptr(), tensor.nbytes()), 0) << name;
  }
  EXPECT_EQ(load_metadata(folder / "x.safetensors").at("format"), "pt");
}

TEST(TensorIo, StridesAreWrittenInRowOrder) {
  const TemporaryFolder folder;
  const at::Tensor numbers = at::arange(6).reshape({2, 3});
  save_tensors(folder / "x.safetensors", {{"t", numbers.t()}});
  EXPECT_TRUE(at::equal(load_tensors(folder / "x.safetensors").at("t"), numbers.t().contiguous()));
}

TEST(TensorIo, ABoolByteThatIsNeitherZeroNorOneBecomesTrue) {
  const TemporaryFolder folder;
  const uint8_t bytes[] = {0, 1, 7};
  formats::write_safetensors(folder / "x.safetensors",
                             {{"b", formats::DType::boolean, {3}, std::as_bytes(std::span(bytes))}});
  const at::Tensor loaded = load_tensors(folder / "x.safetensors").at("b");
  EXPECT_TRUE(at::equal(loaded, at::tensor({0, 1, 1}).to(at::kBool)));
}

TEST(TensorIo, APrefixPicksAPartAndIsCutOff) {
  const TemporaryFolder folder;
  save_tensors(folder / "x.safetensors", tree_tensors());
  const TensorMap right = load_tensors(folder / "x.safetensors", "right.");
  ASSERT_EQ(right.size(), 2u);
  EXPECT_EQ(right.at("count").item<int64_t>(), 2);
}

TEST(TensorIo, AModelFolderIsOpenedByItsFiles) {
  const TemporaryFolder folder;
  EXPECT_REFUSED(DataError, load_tensors(folder.path()), "model.safetensors", "diffusion_pytorch_model");
  save_tensors(folder / "diffusion_pytorch_model.safetensors", {{"a", at::ones({1})}});
  EXPECT_TRUE(load_tensors(folder.path()).contains("a"));
  save_tensors(folder / "model-1.safetensors", {{"b", at::ones({1})}});
  save_tensors(folder / "model-2.safetensors", {{"c", at::ones({1})}});
  write_file_atomic(folder / "model.safetensors.index.json",
                    R"({"weight_map": {"b": "model-1.safetensors", "c": "model-2.safetensors"}})");
  const TensorMap sharded = load_tensors(folder.path());
  EXPECT_TRUE(sharded.size() == 2 && sharded.contains("b") && sharded.contains("c"));
}

TEST(TensorIo, ElementTypesThatTheFormatLacksAreRefused) {
  const TemporaryFolder folder;
  EXPECT_REFUSED(ShapeError, save_tensors(folder / "x", {{"c", at::zeros({1}, at::kComplexFloat)}}), "ComplexFloat");
  EXPECT_REFUSED(ShapeError, save_tensors(folder / "x", {{"c", at::Tensor()}}), "defined");
  EXPECT_EQ(folder.num_entries(), 0u);
}

TEST(TensorIo, NonFiniteValuesLoadButAreListedWhenAskedFor) {
  const TemporaryFolder folder;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float inf = std::numeric_limits<float>::infinity();
  save_tensors(folder / "x.safetensors", {{"bad", at::tensor({1.0f, nan})},
                                          {"good", at::ones({2})},
                                          {"half", at::tensor({inf}).to(at::kBFloat16)},
                                          {"ids", at::ones({1}, at::kLong)},
                                          {"small", at::tensor({nan}).to(at::kFloat8_e4m3fn)}});
  const TensorMap loaded = load_tensors(folder / "x.safetensors");
  EXPECT_EQ(non_finite_tensors(loaded), (std::vector<std::string>{"bad", "half", "small"}));
  EXPECT_REFUSED(DataError, check_finite(loaded, "x"), "[x]", "3: bad, half, small");
  EXPECT_NO_THROW(check_finite({{"good", at::ones({2})}}, "x"));
}

TEST(LoadInto, StateOfAndLoadIntoAreInverse) {
  Tree from, to;
  load_into(from, tree_tensors());
  load_into(to, state_of(from));
  EXPECT_TRUE(at::equal(to.right->weight, at::full({2, 3}, 2)));
  EXPECT_EQ(to.left->count.item<int64_t>(), 1);
  EXPECT_EQ(state_of(to).size(), 4u);
  EXPECT_TRUE(to.left->weight.requires_grad());
}

TEST(LoadInto, TheFileFormGivesTheSame) {
  const TemporaryFolder folder;
  save_tensors(folder / "model.safetensors", tree_tensors());
  Tree tree;
  load_into(tree, folder.path());
  EXPECT_TRUE(at::equal(tree.right->weight, at::full({2, 3}, 2)));
}

TEST(LoadInto, FillsSlicesOfATensorUnderNamesOfTheirOwn) {
  const TemporaryFolder folder;
  save_tensors(folder / "model.safetensors", {{"experts.0", at::ones({2})}, {"experts.1", at::full({2}, 2)}});
  const at::Tensor bank = at::zeros({2, 2});
  TensorMap targets = {{"experts.0", bank[0]}, {"experts.1", bank[1]}};
  load_into(targets, "the bank", folder.path());
  EXPECT_TRUE(at::equal(bank, at::tensor({1.F, 1.F, 2.F, 2.F}).view({2, 2})));
  targets.erase("experts.1");
  EXPECT_REFUSED(DataError, load_into(targets, "the bank", folder.path()), "the bank", "unexpected 1: experts.1");
}

TEST(LoadInto, MissingUnexpectedAndMisshapenNamesAreAllListedAndNothingChanges) {
  Tree tree;
  TensorMap tensors = tree_tensors();
  tensors.erase("right.count");
  tensors["extra"] = at::ones({1});
  tensors["right.weight"] = at::ones({3, 2});
  tensors["left.count"] = at::ones({1});
  EXPECT_REFUSED(DataError, load_into(tree, tensors), "missing 1: right.count", "unexpected 1: extra",
                 "right.weight (expected shape [2, 3], got [3, 2])", "left.count (expected Long, got Float)");
  EXPECT_EQ(tree.left->weight.sum().item<float>(), 0);
}

TEST(LoadInto, NotStrictReportsWhatStrictRefuses) {
  Tree tree;
  TensorMap tensors = tree_tensors();
  tensors.erase("right.count");
  tensors["extra"] = at::ones({1});
  const LoadReport report = load_into(tree, tensors, {.strict = false});
  EXPECT_EQ(report.missing, std::vector<std::string>{"right.count"});
  EXPECT_EQ(report.unexpected, std::vector<std::string>{"extra"});
  EXPECT_EQ(tree.left->weight.sum().item<float>(), 6);
  tensors["left.weight"] = at::ones({1});
  EXPECT_REFUSED(DataError, load_into(tree, tensors, {.strict = false}), "left.weight");
}

TEST(LoadInto, APrefixSelectsThePartOfALargerModel) {
  Leaf leaf;
  load_into(leaf, tree_tensors(), {.prefix = "right."});
  EXPECT_EQ(leaf.weight.sum().item<float>(), 12);
  EXPECT_REFUSED(DataError, load_into(leaf, tree_tensors(), {.prefix = "middle."}), "middle.", "missing 2");
}

TEST(LoadInto, HalfPrecisionFilesFillFloatModules) {
  Leaf leaf;
  load_into(leaf, {{"weight", at::full({2, 3}, 0.5, at::kBFloat16)}, {"count", at::ones({1}, at::kInt)}});
  EXPECT_EQ(leaf.weight.sum().item<float>(), 3);
  EXPECT_EQ(leaf.weight.scalar_type(), at::kFloat);
}

TEST(LoadInto, TiedWeightsAreStoredOnceAndLoadedEverywhere) {
  struct Tied : torch::nn::Module {
    Tied() {
      a = register_module("a", std::make_shared<Leaf>());
      register_module("b", a);
    }
    std::shared_ptr<Leaf> a;
  };
  Tied from, to;
  from.a->weight.detach().fill_(4);
  const TensorMap state = state_of(from);
  EXPECT_EQ(state.size(), 2u);
  EXPECT_TRUE(load_into(to, state).missing.empty());
  EXPECT_EQ(to.a->weight.sum().item<float>(), 24);
}

}  // namespace
}  // namespace polyphony
