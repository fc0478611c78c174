// SPDX-License-Identifier: Apache-2.0
#include "core/base/log.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>
#include <vector>

#include "core/base/files.h"
#include "core/base/text.h"

namespace polyphony {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;

// What `use` writes to the descriptor that it is given.
template <class F>
std::string captured(F&& use) {
  int ends[2];
  EXPECT_EQ(::pipe(ends), 0);
  use(ends[1]);
  ::close(ends[1]);
  std::string out;
  char buffer[4096];
  for (ssize_t n = 0; (n = ::read(ends[0], buffer, sizeof(buffer))) > 0;) out.append(buffer, static_cast<size_t>(n));
  ::close(ends[0]);
  return out;
}

TEST(Logger, ADefaultOneIsSilent) {
  const Logger log;
  EXPECT_FALSE(log.shows(LogLevel::error));
  log.error("nobody hears this");
}

TEST(Logger, ShowsItsLevelAndAboveWithTimeAndPrefix) {
  const auto out = captured([](int fd) {
    const Logger log({.level = LogLevel::info, .fd = fd, .prefix = "rank 3: "});
    log.debug("hidden");
    log.info("step ", 5, " loss ", 2.5);
    log.error("stopped");
  });
  EXPECT_THAT(out, MatchesRegex("[0-9:]* info: rank 3: step 5 loss 2.5\n[0-9:]* error: rank 3: stopped\n"));
}

TEST(Logger, EscapesWhatWouldSteerTheTerminal) {
  const auto out = captured([](int fd) { Logger({.fd = fd}).info("a\x1b[2Jb\nsecond line"); });
  EXPECT_THAT(out, HasSubstr("a\\x1b[2Jb\nsecond line\n"));
}

TEST(Logger, ColoursOnlyWhenAsked) {
  EXPECT_THAT(captured([](int fd) { Logger({.fd = fd, .color = true}).warning("x"); }),
              HasSubstr("\x1b[33mwarning: x\x1b[0m\n"));
  ::setenv("NO_COLOR", "1", 1);
  EXPECT_FALSE(wants_color(2));
  ::unsetenv("NO_COLOR");
  EXPECT_FALSE(captured([](int fd) { EXPECT_FALSE(wants_color(fd)); }).size());
}

TEST(Logger, TheFileKeepsWholeLinesOfManyThreads) {
  const std::string path = testing::TempDir() + "polyphony_log_test.log";
  ::unlink(path.c_str());
  {
    const Logger log({.level = LogLevel::off, .file = path});
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([log, t] {
        for (int i = 0; i < 50; ++i) log.debug(std::string(50, static_cast<char>('a' + t)));
      });
    for (auto& thread : threads) thread.join();
  }
  auto lines = split(read_file(path, 1 << 20), '\n');
  ASSERT_EQ(lines.size(), 201u);
  lines.pop_back();
  for (const auto& line : lines) EXPECT_THAT(line, MatchesRegex("20[0-9TZ:.-]* debug: (a*|b*|c*|d*)"));
  ::unlink(path.c_str());
}

TEST(Logger, AFileThatCannotBeOpenedIsAnError) { EXPECT_THROW(Logger({.file = "/nonexistent/polyphony.log"}), Error); }

TEST(Logger, AFullDiskIsSaidOnceAndDoesNotStopTheWork) {
  const auto out = captured([](int fd) {
    const Logger log({.level = LogLevel::off, .fd = fd, .file = "/dev/full"});
    log.info("one");
    log.info("two");
  });
  EXPECT_THAT(out, MatchesRegex("warning: the log file cannot be written any more: [A-Za-z ]*\n"));
}

TEST(LogLevel, HasNames) {
  EXPECT_EQ(log_level_from_name("warning"), LogLevel::warning);
  EXPECT_EQ(log_level_from_name("loud"), std::nullopt);
}

}  // namespace
}  // namespace polyphony
