// SPDX-License-Identifier: Apache-2.0
// Files are read with a limit and appear all or nothing.
#include "core/base/files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "core/base/sha256.h"
#include "core/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_folder.h"

namespace polyphony {
namespace {

namespace fs = std::filesystem;
using testing::TemporaryFolder;

// A limit on the size of files for the duration of a test: the next best thing to a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : old_handler_(::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &old_);
    const rlimit limit{bytes, old_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    ::signal(SIGXFSZ, old_handler_);
  }

 private:
  rlimit old_{};
  sighandler_t old_handler_;
};

TEST(Files, WhatIsWrittenIsReadBack) {
  const TemporaryFolder folder;
  const std::string text("a\0b\n\xff", 5);
  write_file_atomic(folder / "x", text);
  EXPECT_EQ(read_file(folder / "x", 5), text);
  write_file_atomic(folder / "x", "");
  EXPECT_EQ(read_file(folder / "x", 0), "");
  EXPECT_EQ(folder.num_entries(), 1u);
}

TEST(Files, AFileAboveTheLimitIsRefusedWithBothNumbers) {
  const TemporaryFolder folder;
  write_file_atomic(folder / "x", "12345");
  EXPECT_REFUSED(DataError, read_file(folder / "x", 4), "x]", "at most 4", "got 5");
}

TEST(Files, AHugeSparseFileIsRefusedWithoutMemory) {
  const TemporaryFolder folder;
  write_file_atomic(folder / "x", "1");
  fs::resize_file(folder / "x", uint64_t{1} << 40);
  EXPECT_REFUSED(DataError, read_file(folder / "x", 1 << 20), "1099511627776");
}

TEST(Files, WhatIsNoRegularFileIsRefusedAtOnce) {
  const TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  fs::create_symlink(folder / "nowhere", folder / "dangling");
  fs::create_symlink(folder / "loop", folder / "loop");
  EXPECT_REFUSED(DataError, read_file(folder.path(), 10), "a folder");
  EXPECT_REFUSED(DataError, read_file(folder / "pipe", 10), "a named pipe");
  EXPECT_REFUSED(DataError, read_file("/dev/zero", 10), "a device");
  EXPECT_REFUSED(DataError, read_file(folder / "missing", 10), "missing", "No such file");
  EXPECT_REFUSED(DataError, read_file(folder / "dangling", 10), "No such file");
  EXPECT_REFUSED(DataError, read_file(folder / "loop", 10), "symbolic links");
  EXPECT_REFUSED(DataError, read_file(std::string("a\0b", 3), 10), "without NUL");
}

TEST(Files, AFileWithoutPermissionIsRefused) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may read everything";
  const TemporaryFolder folder;
  write_file_atomic(folder / "x", "1");
  fs::permissions(folder / "x", fs::perms::none);
  EXPECT_REFUSED(DataError, read_file(folder / "x", 10), "Permission denied");
}

TEST(Files, AFileCutShortAfterOpeningIsAnError) {
  const TemporaryFolder folder;
  write_file_atomic(folder / "x", std::string(8192, 'a'));
  const InputFile file = InputFile::open(folder / "x");
  fs::resize_file(folder / "x", 100);
  std::vector<std::byte> out(8192);
  EXPECT_REFUSED(DataError, file.read_at(0, out), "now ends at 100");
  EXPECT_REFUSED(DataError, file.read_at(8000, std::span(out).first(193)), "8192");
  EXPECT_REFUSED(DataError, file.read_at(UINT64_MAX, std::span(out).first(2)), "8192");
}

TEST(Files, AFailedWriteLeavesTheOldFileAndNoOther) {
  const TemporaryFolder folder;
  write_file_atomic(folder / "x", "old");
  const FileSizeLimit limit(1000);
  EXPECT_REFUSED(Error, write_file_atomic(folder / "x", std::string(5000, 'n')), "x]", "File too large");
  EXPECT_EQ(read_file(folder / "x", 10), "old");
  EXPECT_EQ(folder.num_entries(), 1u);
}

TEST(Files, AFullDiskIsNamedAsTheReason) {
  const int fd = ::open("/dev/full", O_WRONLY);
  if (fd < 0) GTEST_SKIP() << "no /dev/full";
  EXPECT_REFUSED(Error, write_all(fd, as_byte_span("text"), "/dev/full"), "/dev/full", "No space left");
  ::close(fd);
}

TEST(Files, ADeviceOrFolderIsNeverReplaced) {
  const TemporaryFolder folder;
  EXPECT_REFUSED(Error, write_file_atomic("/dev/full", "x"), "device");
  EXPECT_REFUSED(Error, write_file_atomic(folder.path(), "x"), "a folder");
  EXPECT_TRUE(fs::is_character_file("/dev/full"));
}

TEST(Files, AMissingOrReadOnlyFolderIsAnErrorWithTheReason) {
  const TemporaryFolder folder;
  EXPECT_REFUSED(Error, write_file_atomic(folder / "no" / "x", "1"), "No such file or directory");
  // procfs takes no new files, not even from root.
  EXPECT_REFUSED(Error, write_file_atomic("/proc/polyphony", "1"), "/proc/polyphony");
  EXPECT_REFUSED(Error, write_file_atomic("", "1"), "name of a file");
}

TEST(Files, WithoutCommitNothingAppears) {
  const TemporaryFolder folder;
  {
    AtomicFile file(folder / "x");
    file.write("half");
  }
  EXPECT_EQ(folder.num_entries(), 0u);
}

TEST(Files, APrivateFileStaysPrivate) {
  const TemporaryFolder folder;
  write_file_atomic(folder / "x", "old");
  fs::permissions(folder / "x", fs::perms::owner_read | fs::perms::owner_write);
  write_file_atomic(folder / "x", "new");
  EXPECT_EQ(fs::status(folder / "x").permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

TEST(Files, AReaderOfTheOldFileKeepsItsBytes) {
  const TemporaryFolder folder;
  write_file_atomic(folder / "x", "old");
  const InputFile old = InputFile::open(folder / "x");
  write_file_atomic(folder / "x", "new");
  std::string bytes(3, ' ');
  old.read_at(0, std::as_writable_bytes(std::span(bytes)));
  EXPECT_EQ(bytes, "old");
}

TEST(PublishDirectory, TheFolderMovesWithAllItHolds) {
  const TemporaryFolder folder;
  fs::create_directories(folder / "step-1.tmp/deep");
  write_file_atomic(folder / "step-1.tmp/deep/x", "1");
  publish_directory(folder / "step-1.tmp", folder / "step-1");
  EXPECT_EQ(read_file(folder / "step-1/deep/x", 1), "1");
  EXPECT_EQ(folder.num_entries(), 1u);
}

TEST(PublishDirectory, AnExistingResultIsNotReplaced) {
  const TemporaryFolder folder;
  fs::create_directories(folder / "new");
  fs::create_directories(folder / "old");
  write_file_atomic(folder / "old/x", "1");
  EXPECT_REFUSED(Error, publish_directory(folder / "new", folder / "old"), "old]", "not empty");
  EXPECT_REFUSED(Error, publish_directory(folder / "missing", folder / "y"), "missing");
  EXPECT_TRUE(fs::exists(folder / "old/x") && fs::exists(folder / "new"));
}

TEST(Sha256, AgreesWithThePublishedExamples) {
  // FIPS 180-4 example messages of NIST's cryptographic standards page.
  EXPECT_EQ(sha256_hex({}), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex(as_byte_span("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex(as_byte_span("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(sha256_hex(as_byte_span(std::string(1000000, 'a'))),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, PiecesGiveTheSameHashAsTheWhole) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += static_cast<char>(i);
  for (size_t cut = 0; cut <= text.size(); cut += 7) {
    Sha256 hash;
    hash.update(as_byte_span(text).first(cut));
    hash.update(as_byte_span(text).subspan(cut));
    EXPECT_EQ(hash.hex_digest(), sha256_hex(as_byte_span(text)));
  }
}

TEST(Sha256, ADamagedFileIsRefusedByName) {
  const TemporaryFolder folder;
  write_file_atomic(folder / "x", std::string(3000000, 'a'));
  const std::string hash = sha256_file(folder / "x");
  EXPECT_NO_THROW(check_sha256(folder / "x", hash));
  std::fstream(folder / "x").seekp(2000000).put('b');
  EXPECT_REFUSED(DataError, check_sha256(folder / "x", hash), "x]", "damaged");
}

TEST(Printable, EscapesWhatATerminalWouldObey) {
  EXPECT_EQ(printable("a\n\x1b[1m\xc3\xa4\xff"), "a\\n\\x1b[1m\xc3\xa4\\xff");
  EXPECT_EQ(printable(std::string(200, 'x'), 4), "xxxx...");
}

TEST(PlainFileName, StaysInsideItsFolder) {
  EXPECT_TRUE(is_plain_file_name("model-00001-of-00002.safetensors"));
  for (const std::string_view bad : {"", ".", "..", "a/b", "../a", "/etc/passwd", "a\\b"}) {
    EXPECT_FALSE(is_plain_file_name(bad)) << bad;
  }
  EXPECT_FALSE(is_plain_file_name(std::string_view("a\0b", 3)));
}

}  // namespace
}  // namespace polyphony
