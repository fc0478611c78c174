// SPDX-License-Identifier: Apache-2.0
// Event loops that end with the runner's job.
#include "gui/screenshot.h"

#include <QEventLoop>
#include <QPixmap>
#include <QTimer>

#include "gui/caption_view.h"
#include "gui/generate_view.h"

namespace polyphony::gui {
namespace {

constexpr int kSettleMs = 150;  // layouts and styles after the last change

void waitUntilIdle(SessionRunner& runner) {
  if (!runner.busy()) return;
  QEventLoop loop;
  QObject::connect(&runner, &SessionRunner::stateChanged, &loop, [&] {
    if (!runner.busy()) loop.quit();
  });
  loop.exec();
}

void settle() {
  QEventLoop loop;
  QTimer::singleShot(kSettleMs, &loop, &QEventLoop::quit);
  loop.exec();
}

}  // namespace

int takeScreenshot(MainWindow& window, const ScreenshotJob& job) {
  auto code = ExitCode::ok;
  const auto remember = [&](const pipelines::ErrorReport& error) { code = error.exit_code; };
  QObject::connect(&window.runner(), &SessionRunner::failed, &window, remember);
  waitUntilIdle(window.runner());
  if (!job.prompt.isEmpty()) {
    window.generateView().setPrompt(job.prompt);
    window.generateView().start();
    waitUntilIdle(window.runner());
  }
  if (!job.image.isEmpty()) {
    window.captionView().openFile(job.image);
    waitUntilIdle(window.runner());
  }
  settle();
  if (!window.grab().save(job.file, "PNG")) return static_cast<int>(ExitCode::failure);
  return static_cast<int>(code);
}

}  // namespace polyphony::gui
