// SPDX-License-Identifier: Apache-2.0
// The window: two views over one runner, the menu as the one list of actions, and a status line for errors.
#pragma once
#include <QMainWindow>

#include "gui/session_runner.h"

class QLabel;
class QTabWidget;

namespace polyphony::gui {

class CaptionView;
class GenerateView;

class MainWindow : public QMainWindow {
  Q_OBJECT
 public:
  explicit MainWindow(OpenSession open, QWidget* parent = nullptr);

  SessionRunner& runner() { return runner_; }
  GenerateView& generateView() { return *generate_; }
  CaptionView& captionView() { return *caption_; }
  void showView(const QString& name);  // "generate" or "caption"
  QString statusText() const;

 private:
  void makeMenus();
  void showMessage(const QString& text);
  void showError(const pipelines::ErrorReport& error);
  void showModel(const pipelines::ModelDescription& model);

  SessionRunner runner_;
  QTabWidget* tabs_;
  GenerateView* generate_;
  CaptionView* caption_;
  QLabel* status_;
  QLabel* model_;
};

}  // namespace polyphony::gui
