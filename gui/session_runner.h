// SPDX-License-Identifier: Apache-2.0
// One worker thread that owns the session: requests go in, value-typed signals come out, the window never waits.
#pragma once
#include <QElapsedTimer>
#include <QImage>
#include <QObject>
#include <QString>
#include <QThread>
#include <atomic>
#include <functional>
#include <memory>

#include "pipelines/session.h"

namespace polyphony::gui {

using OpenSession = std::function<std::unique_ptr<pipelines::Session>()>;
using GenerateResultPtr = std::shared_ptr<const pipelines::GenerateResult>;
using CaptionResultPtr = std::shared_ptr<const pipelines::CaptionResult>;

enum class RunnerState { idle, opening, generating, captioning, cancelling };

struct ProgressUpdate {
  QString task;
  int done = 0;
  int total = 0;
  QImage preview;  // null: none
};

// Deep copy, so that it may cross threads.
QImage toQImage(const pipelines::RgbImage& image);
pipelines::RgbImage toRgbImage(const QImage& image);

class SessionRunner : public QObject {
  Q_OBJECT
 public:
  explicit SessionRunner(OpenSession open);
  // Stops the work and joins the thread.
  ~SessionRunner() override;

  RunnerState state() const { return state_; }
  bool busy() const { return state_ != RunnerState::idle; }

  // Each returns false and does nothing while another job runs. A session is opened with the first job at the latest.
  bool openModel();
  bool generate(const pipelines::GenerateRequest& request);
  bool caption(const pipelines::CaptionRequest& request);
  // The job ends with cancelled() at its next step.
  void cancel();

 Q_SIGNALS:
  void stateChanged();
  void opened(const polyphony::pipelines::ModelDescription& model);
  void progressed(const polyphony::gui::ProgressUpdate& update);
  void generated(const polyphony::gui::GenerateResultPtr& result);
  void captioned(const polyphony::gui::CaptionResultPtr& result);
  void failed(const polyphony::pipelines::ErrorReport& error);
  void cancelled();

 private:
  bool start(RunnerState state, std::function<void()> job);
  void finish(std::function<void()> tell);
  void ensureSession();
  pipelines::OnProgress onProgress();

  OpenSession open_;
  std::unique_ptr<pipelines::Session> session_;  // touched by the worker thread only
  std::atomic<bool> stop_ = false;
  RunnerState state_ = RunnerState::idle;
  QThread thread_;
  QObject worker_;  // lives in thread_: what is posted to it runs there
};

}  // namespace polyphony::gui
