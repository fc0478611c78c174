// SPDX-License-Identifier: Apache-2.0
// Picture to text: drop, open or paste a picture; read, copy or reuse the words.
#pragma once
#include <QWidget>

#include "gui/session_runner.h"

class QLabel;
class QProgressBar;
class QPushButton;

namespace polyphony::gui {

class PictureView;

class CaptionView : public QWidget {
  Q_OBJECT
 public:
  explicit CaptionView(SessionRunner& runner, QWidget* parent = nullptr);

  QString caption() const { return text_; }
  void openDialog();
  void openFile(const QString& file);
  void openImage(const QImage& image);
  void paste();
  void copyCaption();

 Q_SIGNALS:
  void message(const QString& text);
  void usePrompt(const QString& prompt);

 private:
  void start(const pipelines::CaptionRequest& request);
  void showState();
  void showResult(const CaptionResultPtr& result);

  SessionRunner& runner_;
  bool mine_ = false;  // the running job was started here
  QString text_;
  PictureView* picture_;
  QLabel* caption_;
  QLabel* details_;
  QProgressBar* confidence_;
  QPushButton* open_;
  QPushButton* copy_;
  QPushButton* use_;
};

}  // namespace polyphony::gui
