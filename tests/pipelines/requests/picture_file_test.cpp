// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <fstream>

#include "core/base/files.h"
#include "pipelines/requests/picture_text.h"
#include "pipelines/session.h"
#include "tests/support/fake_session.h"
#include "tests/support/temporary_folder.h"

namespace polyphony::pipelines {
namespace {

class PictureFile : public ::testing::Test {
 protected:
  polyphony::testing::TemporaryFolder folder_;
};

Picture sample() {
  const GenerateRequest used{.prompt = "a red circle, large", .steps = 20, .guidance = 2.5, .seed = 7};
  return {polyphony::testing::fake_picture(7), 7, parameters_json(used, 7, "scenes: a, b")};
}

TEST_F(PictureFile, CarriesItsRequestAndTheTextThatOtherProgramsRead) {
  const auto file = (folder_ / "x.png").string();
  save_picture(sample(), {.file = file});
  EXPECT_EQ(request_from_picture(file).prompt, "a red circle, large");
  EXPECT_EQ(request_from_picture(file).seed, 7u);
  EXPECT_EQ(read_picture_text(read_file(file, 1 << 20)).parameters,
            "a red circle, large\nSteps: 20, CFG scale: 2.5, Seed: 7, Size: 16x16, Model: \"scenes: a, b\"");
}

TEST_F(PictureFile, KeepsItsRequestInAChunkOfItsOwnKind) {
  const auto bytes = encode_picture(sample());
  EXPECT_NE(bytes.find("tEXtparameters"), std::string::npos);
  EXPECT_NE(bytes.find("iTXtpolyphony"), std::string::npos);
}

TEST_F(PictureFile, HasTheSameBytesForTheSamePicture) { EXPECT_EQ(encode_picture(sample()), encode_picture(sample())); }

TEST_F(PictureFile, IsNotReplacedUnlessAskedFor) {
  const auto file = (folder_ / "x.png").string();
  std::ofstream(file) << "mine";
  EXPECT_THROW(save_picture(sample(), {.file = file}), UsageError);
  EXPECT_EQ(read_file(file, 100), "mine");
  save_picture(sample(), {.file = file, .overwrite = true});
  EXPECT_EQ(request_from_picture(file).steps, 20);
}

TEST_F(PictureFile, WithoutParametersOfOursIsRefused) {
  const auto file = (folder_ / "x.png").string();
  std::ofstream(file) << "words";
  EXPECT_THROW(request_from_picture(file), DataError);
  EXPECT_THROW(request_from_picture((folder_ / "none.png").string()), DataError);
}

TEST_F(PictureFile, WithTooFewPixelsIsNeverWritten) {
  auto picture = sample();
  picture.image.pixels.pop_back();
  EXPECT_THROW(save_picture(picture, {.file = (folder_ / "x.png").string()}), ShapeError);
  EXPECT_EQ(folder_.num_entries(), 0u);
}

}  // namespace
}  // namespace polyphony::pipelines
