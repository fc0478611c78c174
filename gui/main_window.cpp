// SPDX-License-Identifier: Apache-2.0
// Puts views, menus and status line together.
#include "gui/main_window.h"

#include <QLabel>
#include <QMenuBar>
#include <QStatusBar>
#include <QTabBar>
#include <QTabWidget>

#include "gui/caption_view.h"
#include "gui/generate_view.h"

namespace polyphony::gui {
namespace {

QLabel* plainLabel(const QString& accessibleName) {
  auto* label = new QLabel;
  label->setTextFormat(Qt::PlainText);
  label->setAccessibleName(accessibleName);
  return label;
}

QString millions(int64_t parameters) { return QString::number(static_cast<double>(parameters) / 1e6, 'f', 1); }

}  // namespace

MainWindow::MainWindow(OpenSession open, QWidget* parent) : QMainWindow(parent), runner_(std::move(open)) {
  setWindowTitle(tr("Polyphony Studio"));
  resize(1040, 720);
  generate_ = new GenerateView(runner_);
  caption_ = new CaptionView(runner_);
  tabs_ = new QTabWidget;
  tabs_->setDocumentMode(true);
  tabs_->setAccessibleName(tr("Views"));
  tabs_->tabBar()->setAccessibleName(tr("Views"));
  tabs_->addTab(generate_, tr("Generate"));
  tabs_->addTab(caption_, tr("Caption"));
  setCentralWidget(tabs_);

  status_ = plainLabel(tr("Status"));
  status_->setObjectName(QStringLiteral("status"));
  status_->setTextInteractionFlags(Qt::TextSelectableByMouse);
  status_->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Preferred);  // a long message must not widen the window
  model_ = plainLabel(tr("Model"));
  model_->setForegroundRole(QPalette::PlaceholderText);
  statusBar()->setContentsMargins(12, 0, 12, 4);
  statusBar()->addWidget(status_, 1);
  statusBar()->addPermanentWidget(model_);
  makeMenus();

  connect(generate_, &GenerateView::message, this, &MainWindow::showMessage);
  connect(generate_, &GenerateView::failed, this, &MainWindow::showError);
  connect(caption_, &CaptionView::message, this, &MainWindow::showMessage);
  connect(caption_, &CaptionView::usePrompt, this, [this](const QString& prompt) {
    generate_->setPrompt(prompt);
    tabs_->setCurrentWidget(generate_);
  });
  connect(&runner_, &SessionRunner::failed, this, &MainWindow::showError);
  connect(&runner_, &SessionRunner::opened, this, &MainWindow::showModel);
  connect(&runner_, &SessionRunner::stateChanged, this, [this] {
    if (runner_.state() == RunnerState::opening) showMessage(tr("Loading the model..."));
    if (runner_.state() == RunnerState::generating) showMessage(tr("Drawing..."));
    if (runner_.state() == RunnerState::captioning) showMessage(tr("Reading the picture..."));
    if (runner_.state() == RunnerState::cancelling) showMessage(tr("Cancelling..."));
  });
}

void MainWindow::makeMenus() {
  struct Entry {
    QString text;
    QKeySequence keys;
    std::function<void()> act;
  };
  const auto add = [this](QMenu* menu, const Entry& entry) {
    auto* action = menu->addAction(entry.text);
    action->setShortcut(entry.keys);
    connect(action, &QAction::triggered, this, entry.act);
  };
  auto* file = menuBar()->addMenu(tr("&File"));
  add(file, {tr("&Open a picture..."), QKeySequence::Open, [this] {
               tabs_->setCurrentWidget(caption_);
               caption_->openDialog();
             }});
  add(file, {tr("&Paste a picture"), QKeySequence(tr("Ctrl+Shift+V")), [this] {
               tabs_->setCurrentWidget(caption_);
               caption_->paste();
             }});
  add(file, {tr("&Save the picture..."), QKeySequence::Save, [this] { generate_->saveAs(); }});
  file->addSeparator();
  add(file, {tr("&Quit"), QKeySequence(tr("Ctrl+Q")), [this] { close(); }});
  auto* job = menuBar()->addMenu(tr("&Picture"));
  add(job, {tr("&Generate"), QKeySequence(tr("Ctrl+Return")), [this] {
              tabs_->setCurrentWidget(generate_);
              generate_->start();
            }});
  add(job, {tr("&Cancel"), QKeySequence(Qt::Key_Escape), [this] { runner_.cancel(); }});
  add(job, {tr("Roll a new &seed"), QKeySequence(tr("Ctrl+R")), [this] { generate_->rollSeed(); }});
  add(job, {tr("Copy the &picture"), QKeySequence(tr("Ctrl+Shift+C")), [this] { generate_->copyPicture(); }});
  auto* view = menuBar()->addMenu(tr("&View"));
  add(view, {tr("&Generate"), QKeySequence(tr("Ctrl+1")), [this] { tabs_->setCurrentWidget(generate_); }});
  add(view, {tr("&Caption"), QKeySequence(tr("Ctrl+2")), [this] { tabs_->setCurrentWidget(caption_); }});
}

void MainWindow::showView(const QString& name) { tabs_->setCurrentIndex(name == QStringLiteral("caption") ? 1 : 0); }

QString MainWindow::statusText() const { return status_->text(); }

void MainWindow::showMessage(const QString& text) {
  status_->setText(text);
  status_->setToolTip({});
}

void MainWindow::showError(const pipelines::ErrorReport& error) {
  auto text = tr("Error (%1): %2").arg(QString::fromStdString(error.code), QString::fromStdString(error.message));
  if (!error.hint.empty()) text += tr(" Try: %1").arg(QString::fromStdString(error.hint));
  status_->setText(text);
  status_->setToolTip(Qt::convertFromPlainText(text));
}

void MainWindow::showModel(const pipelines::ModelDescription& model) {
  model_->setText(tr("%1, %2 M parameters (%3 M active), %4 %5")
                      .arg(QString::fromStdString(model.name), millions(model.parameters_total),
                           millions(model.parameters_active), QString::fromStdString(model.device),
                           QString::fromStdString(model.dtype)));
  if (runner_.state() == RunnerState::opening) showMessage(tr("Ready"));
}

}  // namespace polyphony::gui
