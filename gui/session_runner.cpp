// SPDX-License-Identifier: Apache-2.0
// Jobs are posted to the worker's event loop; their ends are posted back to the window's.
#include "gui/session_runner.h"

#include <QMetaObject>
#include <cstring>

namespace polyphony::gui {
namespace {

constexpr qint64 kProgressIntervalMs = 33;

}  // namespace

QImage toQImage(const pipelines::RgbImage& image) {
  const auto width = static_cast<int>(image.width);
  const auto height = static_cast<int>(image.height);
  const bool whole = width > 0 && height > 0 && image.pixels.size() == size_t{3} * image.width * image.height;
  if (!whole) return {};
  return QImage(image.pixels.data(), width, height, 3 * width, QImage::Format_RGB888).copy();
}

pipelines::RgbImage toRgbImage(const QImage& image) {
  // Transparent pixels are laid over white, as the decoder of files does.
  QImage opaque(image.size(), QImage::Format_RGB888);
  opaque.fill(Qt::white);
  const auto source = image.convertToFormat(QImage::Format_ARGB32);
  pipelines::RgbImage out{opaque.width(), opaque.height(), {}};
  out.pixels.reserve(size_t{3} * out.width * out.height);
  for (int y = 0; y < source.height(); ++y)
    for (int x = 0; x < source.width(); ++x) {
      const auto pixel = reinterpret_cast<const QRgb*>(source.constScanLine(y))[x];
      const int alpha = qAlpha(pixel);
      for (const int value : {qRed(pixel), qGreen(pixel), qBlue(pixel)})
        out.pixels.push_back(static_cast<uint8_t>((value * alpha + 255 * (255 - alpha) + 127) / 255));
    }
  return out;
}

SessionRunner::SessionRunner(OpenSession open) : open_(std::move(open)) {
  qRegisterMetaType<pipelines::ModelDescription>();
  qRegisterMetaType<pipelines::ErrorReport>();
  qRegisterMetaType<ProgressUpdate>();
  qRegisterMetaType<GenerateResultPtr>();
  qRegisterMetaType<CaptionResultPtr>();
  worker_.moveToThread(&thread_);
  thread_.start();
}

SessionRunner::~SessionRunner() {
  stop_ = true;
  QMetaObject::invokeMethod(
      &worker_, [this] { session_.reset(); }, Qt::QueuedConnection);
  thread_.quit();
  thread_.wait();
}

bool SessionRunner::start(RunnerState state, std::function<void()> job) {
  if (busy()) return false;
  stop_ = false;
  state_ = state;
  Q_EMIT stateChanged();
  const auto guarded = [this, job = std::move(job)] {
    try {
      job();
    } catch (...) {
      const auto error = pipelines::report_error(std::current_exception());
      finish([this, error] { Q_EMIT failed(error); });
    }
  };
  QMetaObject::invokeMethod(&worker_, guarded, Qt::QueuedConnection);
  return true;
}

void SessionRunner::finish(std::function<void()> tell) {
  QMetaObject::invokeMethod(
      this,
      [this, tell = std::move(tell)] {
        state_ = RunnerState::idle;
        tell();
        Q_EMIT stateChanged();
      },
      Qt::QueuedConnection);
}

void SessionRunner::ensureSession() {
  if (session_) return;
  session_ = open_();
  const auto model = session_->describe();
  QMetaObject::invokeMethod(
      this, [this, model] { Q_EMIT opened(model); }, Qt::QueuedConnection);
}

pipelines::OnProgress SessionRunner::onProgress() {
  auto since = std::make_shared<QElapsedTimer>();
  return [this, since](const pipelines::Progress& progress) {
    const bool last = progress.done >= progress.total;
    if (!since->isValid() || last || since->elapsed() >= kProgressIntervalMs) {
      since->start();
      const ProgressUpdate update{QString::fromStdString(progress.task), static_cast<int>(progress.done),
                                  static_cast<int>(progress.total),
                                  progress.preview ? toQImage(*progress.preview) : QImage()};
      QMetaObject::invokeMethod(
          this, [this, update] { Q_EMIT progressed(update); }, Qt::QueuedConnection);
    }
    return !stop_.load();
  };
}

bool SessionRunner::openModel() {
  return start(RunnerState::opening, [this] {
    ensureSession();
    finish([] {});
  });
}

bool SessionRunner::generate(const pipelines::GenerateRequest& request) {
  return start(RunnerState::generating, [this, request] {
    pipelines::check_request(request);
    ensureSession();
    auto result = stop_ ? std::nullopt : session_->generate(request, onProgress());
    if (!result) return finish([this] { Q_EMIT cancelled(); });
    const auto shared = std::make_shared<const pipelines::GenerateResult>(*std::move(result));
    finish([this, shared] { Q_EMIT generated(shared); });
  });
}

bool SessionRunner::caption(const pipelines::CaptionRequest& request) {
  return start(RunnerState::captioning, [this, request] {
    pipelines::check_request(request);
    ensureSession();
    auto result = stop_ ? std::nullopt : session_->caption(request, onProgress());
    if (!result) return finish([this] { Q_EMIT cancelled(); });
    const auto shared = std::make_shared<const pipelines::CaptionResult>(*std::move(result));
    finish([this, shared] { Q_EMIT captioned(shared); });
  });
}

void SessionRunner::cancel() {
  if (!busy() || state_ == RunnerState::cancelling) return;
  stop_ = true;
  state_ = RunnerState::cancelling;
  Q_EMIT stateChanged();
}

}  // namespace polyphony::gui
