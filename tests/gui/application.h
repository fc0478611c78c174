// SPDX-License-Identifier: Apache-2.0
// The one QApplication of a test program, and waits that keep its events going.
#pragma once
#include <QApplication>
#include <QTest>

namespace polyphony::testing {

inline QApplication& application() {
  static int argc = 1;
  static char name[] = "polyphony_gui_test";
  static char* argv[] = {name, nullptr};
  static QApplication app(argc, argv);
  return app;
}

}  // namespace polyphony::testing
