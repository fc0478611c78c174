// SPDX-License-Identifier: Apache-2.0
// Text to picture: the controls, the picture as it forms, and the parameters that made it.
#pragma once
#include <QWidget>

#include "gui/session_runner.h"

class QDoubleSpinBox;
class QCheckBox;
class QLabel;
class QLineEdit;
class QPlainTextEdit;
class QProgressBar;
class QPushButton;
class QSpinBox;
class QVBoxLayout;

namespace polyphony::gui {

class PictureView;

class GenerateView : public QWidget {
  Q_OBJECT
 public:
  explicit GenerateView(SessionRunner& runner, QWidget* parent = nullptr);

  void setPrompt(const QString& prompt);
  void setSeed(quint64 seed);
  // What the controls ask for now.
  pipelines::GenerateRequest request() const;
  bool hasPicture() const { return result_ != nullptr; }

  void start();
  void saveAs();
  // Throws what save_picture throws.
  void saveTo(const QString& file, bool overwrite);
  void copyPicture();
  void rollSeed();

 Q_SIGNALS:
  void message(const QString& text);
  void failed(const polyphony::pipelines::ErrorReport& error);

 private:
  QWidget* makeControls();
  QWidget* makeStage();
  void connectRunner();
  void showState();
  void showModel(const pipelines::ModelDescription& model);
  void showProgress(const ProgressUpdate& update);
  void showResult(const GenerateResultPtr& result);

  SessionRunner& runner_;
  GenerateResultPtr result_;
  bool mine_ = false;  // the running job was started here
  QPlainTextEdit* prompt_;
  QSpinBox* steps_;
  QDoubleSpinBox* guidance_;
  QLineEdit* seed_;
  QCheckBox* newSeed_;
  QPushButton* generate_;
  QPushButton* cancel_;
  QPushButton* save_;
  QPushButton* copy_;
  QProgressBar* progress_;
  PictureView* picture_;
  QLabel* parameters_;
};

}  // namespace polyphony::gui
