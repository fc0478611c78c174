// SPDX-License-Identifier: Apache-2.0
// The one QApplication of a test program, and waits that keep its events going.
#pragma once
#include <QApplication>
#include <QElapsedTimer>
#include <QTest>
#include <QThread>
#include <algorithm>
#include <atomic>
#include <thread>

namespace polyphony::testing {

inline QApplication& application() {
  static int argc = 1;
  static char name[] = "polyphony_gui_test";
  static char* argv[] = {name, nullptr};
  // Never destroyed: at exit its input devices would reach for parts of Qt that are gone already.
  static auto* const app = new QApplication(argc, argv);
  return *app;
}

// How long the machine keeps a thread waiting that only wants to sleep: what a time limit in a test must allow for
// where other programs take the processor.
class MachinePauses {
 public:
  MachinePauses() : thread_([this] { watch(); }) {}
  ~MachinePauses() {
    stop_ = true;
    thread_.join();
  }
  MachinePauses(const MachinePauses&) = delete;
  MachinePauses& operator=(const MachinePauses&) = delete;

  // The limit in ms, or more if the machine has paused this process for longer than a fraction of it.
  qint64 allowed(qint64 limit_ms) const { return limit_ms + 4 * longest_ms_.load(); }

 private:
  void watch() {
    QElapsedTimer since;
    while (!stop_) {
      since.start();
      QThread::msleep(5);
      longest_ms_ = std::max<qint64>(longest_ms_, since.elapsed() - 5);
    }
  }
  std::atomic<bool> stop_ = false;
  std::atomic<qint64> longest_ms_ = 0;
  std::thread thread_;
};

}  // namespace polyphony::testing
