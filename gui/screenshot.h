// SPDX-License-Identifier: Apache-2.0
// Renders the window to a PNG once its job has ended, for documentation and for looking at it where there is no screen.
#pragma once
#include <QObject>

#include "gui/main_window.h"

namespace polyphony::gui {

struct ScreenshotJob {
  QString file;    // PNG to write
  QString prompt;  // draw this first; empty: nothing
  QString image;   // caption this first; empty: nothing
};

// Opens the model, runs the job, waits, grabs. Returns the exit code: of the error that the window shows, or 0.
int takeScreenshot(MainWindow& window, const ScreenshotJob& job);

}  // namespace polyphony::gui
