// SPDX-License-Identifier: Apache-2.0
// Controls to request, result to picture; every text from outside is shown as plain text.
#include "gui/generate_view.h"

#include <QApplication>
#include <QCheckBox>
#include <QClipboard>
#include <QDoubleSpinBox>
#include <QFileDialog>
#include <QGridLayout>
#include <QLabel>
#include <QLineEdit>
#include <QPlainTextEdit>
#include <QProgressBar>
#include <QPushButton>
#include <QRegularExpressionValidator>
#include <QSpinBox>
#include <QVBoxLayout>

#include "gui/picture_view.h"

namespace polyphony::gui {
namespace {

constexpr int kControlsWidth = 330;
constexpr int kFallbackSteps = 20;
constexpr double kFallbackGuidance = 2.0;

QString plural(qsizetype count, const QString& one, const QString& many) { return count == 1 ? one : many; }

}  // namespace

GenerateView::GenerateView(SessionRunner& runner, QWidget* parent) : QWidget(parent), runner_(runner) {
  auto* layout = new QHBoxLayout(this);
  layout->setContentsMargins(16, 16, 16, 8);
  layout->setSpacing(18);
  layout->addWidget(makeControls());
  layout->addWidget(makeStage(), 1);
  connectRunner();
  showState();
}

QWidget* GenerateView::makeControls() {
  auto* panel = new QWidget;
  panel->setFixedWidth(kControlsWidth);
  auto* column = new QVBoxLayout(panel);
  column->setContentsMargins(0, 0, 0, 0);
  column->setSpacing(10);

  auto* heading = new QLabel(tr("&What should the picture show?"));
  heading->setObjectName(QStringLiteral("heading"));
  prompt_ = new QPlainTextEdit;
  prompt_->setObjectName(QStringLiteral("prompt"));
  prompt_->setAccessibleName(tr("Prompt"));
  prompt_->setTabChangesFocus(true);
  prompt_->setMinimumHeight(90);
  prompt_->setMaximumHeight(190);
  heading->setBuddy(prompt_);

  steps_ = new QSpinBox;
  steps_->setObjectName(QStringLiteral("steps"));
  steps_->setAccessibleName(tr("Denoising steps"));
  steps_->setRange(1, static_cast<int>(pipelines::kMaxSteps));
  steps_->setValue(kFallbackSteps);
  steps_->setToolTip(tr("More steps take longer and follow the text a little better"));
  guidance_ = new QDoubleSpinBox;
  guidance_->setObjectName(QStringLiteral("guidance"));
  guidance_->setAccessibleName(tr("Guidance scale"));
  guidance_->setRange(0, pipelines::kMaxGuidance);
  guidance_->setSingleStep(0.5);
  guidance_->setValue(kFallbackGuidance);
  guidance_->setToolTip(tr("How closely to follow the text; 1 is no guidance"));

  seed_ = new QLineEdit;
  seed_->setObjectName(QStringLiteral("seed"));
  seed_->setAccessibleName(tr("Seed"));
  seed_->setPlaceholderText(tr("random"));
  seed_->setValidator(new QRegularExpressionValidator(QRegularExpression(QStringLiteral("[0-9]{0,19}")), seed_));
  auto* dice = new QPushButton(tr("&Dice"));
  dice->setObjectName(QStringLiteral("dice"));
  dice->setAccessibleName(tr("Roll a new seed"));
  dice->setToolTip(tr("A new random seed (Ctrl+R)"));
  newSeed_ = new QCheckBox(tr("A ne&w seed for each picture"));
  newSeed_->setObjectName(QStringLiteral("newSeed"));
  newSeed_->setChecked(true);

  for (QWidget* field : {static_cast<QWidget*>(steps_), static_cast<QWidget*>(guidance_)}) field->setMinimumHeight(28);
  auto* form = new QGridLayout;
  form->setHorizontalSpacing(12);
  form->setVerticalSpacing(8);
  form->setColumnStretch(1, 1);
  const std::pair<QString, QWidget*> rows[] = {
      {tr("S&teps"), steps_}, {tr("&Guidance"), guidance_}, {tr("S&eed"), seed_}};
  for (const auto& [name, field] : rows) {
    auto* label = new QLabel(name);
    label->setBuddy(field);
    const int row = form->rowCount();
    form->addWidget(label, row, 0);
    form->addWidget(field, row, 1, 1, field == seed_ ? 1 : 2);
    if (field == seed_) form->addWidget(dice, row, 2);
  }
  form->addWidget(newSeed_, form->rowCount(), 1, 1, 2);

  generate_ = new QPushButton(tr("Generate"));
  generate_->setObjectName(QStringLiteral("primary"));
  generate_->setAccessibleName(tr("Generate the picture"));
  generate_->setToolTip(tr("Ctrl+Enter"));
  cancel_ = new QPushButton(tr("Cancel"));
  cancel_->setObjectName(QStringLiteral("cancel"));
  cancel_->setAccessibleName(tr("Cancel the picture"));
  cancel_->setToolTip(tr("Esc"));
  auto* buttons = new QHBoxLayout;
  buttons->addWidget(generate_, 1);
  buttons->addWidget(cancel_);

  parameters_ = new QLabel;
  parameters_->setObjectName(QStringLiteral("parameters"));
  parameters_->setAccessibleName(tr("Parameters used"));
  parameters_->setTextFormat(Qt::PlainText);
  parameters_->setTextInteractionFlags(Qt::TextSelectableByMouse | Qt::TextSelectableByKeyboard);
  parameters_->setWordWrap(true);
  parameters_->setForegroundRole(QPalette::PlaceholderText);
  parameters_->setAlignment(Qt::AlignTop | Qt::AlignLeft);

  column->addWidget(heading);
  column->addWidget(prompt_);
  column->addLayout(form);
  column->addSpacing(4);
  column->addLayout(buttons);
  column->addSpacing(10);
  column->addWidget(parameters_, 1);
  connect(dice, &QPushButton::clicked, this, &GenerateView::rollSeed);
  connect(generate_, &QPushButton::clicked, this, &GenerateView::start);
  connect(cancel_, &QPushButton::clicked, &runner_, &SessionRunner::cancel);
  return panel;
}

QWidget* GenerateView::makeStage() {
  auto* stage = new QWidget;
  auto* column = new QVBoxLayout(stage);
  column->setContentsMargins(0, 0, 0, 0);
  column->setSpacing(10);
  picture_ = new PictureView(tr("Your picture appears here"));
  picture_->setObjectName(QStringLiteral("picture"));
  picture_->setAccessibleName(tr("Generated picture"));
  progress_ = new QProgressBar;
  progress_->setAccessibleName(tr("Progress"));
  progress_->setValue(0);
  save_ = new QPushButton(tr("&Save..."));
  save_->setObjectName(QStringLiteral("save"));
  save_->setAccessibleName(tr("Save the picture"));
  save_->setToolTip(tr("Ctrl+S; the file carries its parameters"));
  copy_ = new QPushButton(tr("&Copy"));
  copy_->setObjectName(QStringLiteral("copy"));
  copy_->setAccessibleName(tr("Copy the picture"));
  copy_->setToolTip(tr("Ctrl+Shift+C"));
  auto* row = new QHBoxLayout;
  row->addWidget(progress_, 1);
  row->addWidget(copy_);
  row->addWidget(save_);
  column->addWidget(picture_, 1);
  column->addLayout(row);
  connect(save_, &QPushButton::clicked, this, &GenerateView::saveAs);
  connect(copy_, &QPushButton::clicked, this, &GenerateView::copyPicture);
  return stage;
}

void GenerateView::connectRunner() {
  connect(&runner_, &SessionRunner::stateChanged, this, &GenerateView::showState);
  connect(&runner_, &SessionRunner::opened, this, &GenerateView::showModel);
  connect(&runner_, &SessionRunner::progressed, this, &GenerateView::showProgress);
  connect(&runner_, &SessionRunner::generated, this, &GenerateView::showResult);
  connect(&runner_, &SessionRunner::cancelled, this, [this] {
    if (!mine_) return;
    picture_->setImage(result_ ? toQImage(result_->pictures.front().image) : QImage());
    Q_EMIT message(tr("Cancelled"));
  });
}

pipelines::GenerateRequest GenerateView::request() const {
  pipelines::GenerateRequest request;
  request.prompt = prompt_->toPlainText().toStdString();
  request.steps = steps_->value();
  request.guidance = guidance_->value();
  bool given = false;
  const auto seed = seed_->text().toULongLong(&given);
  if (given) request.seed = seed;
  return request;
}

void GenerateView::start() {
  if (runner_.busy()) return;
  if (prompt_->toPlainText().trimmed().isEmpty()) {
    prompt_->setFocus();
    return Q_EMIT message(tr("Write what the picture should show first"));
  }
  if (newSeed_->isChecked() && result_) rollSeed();
  mine_ = true;
  progress_->setRange(0, 0);
  runner_.generate(request());
}

void GenerateView::showState() {
  const auto state = runner_.state();
  if (state == RunnerState::idle) {
    mine_ = false;
    progress_->setRange(0, 1);
    progress_->reset();
    picture_->setBadge({});
  }
  generate_->setEnabled(state == RunnerState::idle);
  generate_->setText(state == RunnerState::opening ? tr("Loading the model...") : tr("Generate"));
  cancel_->setEnabled(state == RunnerState::generating || state == RunnerState::captioning);
  cancel_->setText(state == RunnerState::cancelling ? tr("Cancelling...") : tr("Cancel"));
  save_->setEnabled(hasPicture() && !mine_);
  copy_->setEnabled(hasPicture() && !mine_);
}

void GenerateView::showModel(const pipelines::ModelDescription& model) {
  if (model.default_steps > 0) steps_->setValue(static_cast<int>(model.default_steps));
  if (model.default_guidance > 0) guidance_->setValue(model.default_guidance);
  prompt_->setPlaceholderText(QString::fromStdString(model.example_prompt));
}

void GenerateView::showProgress(const ProgressUpdate& update) {
  if (!mine_) return;
  progress_->setRange(0, qMax(1, update.total));
  progress_->setValue(update.done);
  progress_->setFormat(tr("step %1 of %2").arg(update.done).arg(update.total));
  if (update.preview.isNull()) return;
  picture_->setImage(update.preview);
  picture_->setBadge(tr("preview"));
}

void GenerateView::showResult(const GenerateResultPtr& result) {
  if (result->pictures.empty()) return;
  result_ = result;
  const auto& used = result->used;
  picture_->setImage(toQImage(result->pictures.front().image));
  setSeed(result->pictures.front().seed);
  parameters_->setText(tr("seed %1, %2 steps, guidance %3\n%4 s, %5 s a step\n%6, %7 %8")
                           .arg(result->pictures.front().seed)
                           .arg(used.steps.value_or(0))
                           .arg(used.guidance.value_or(0))
                           .arg(result->seconds, 0, 'f', 2)
                           .arg(result->seconds_per_step, 0, 'f', 3)
                           .arg(QString::fromStdString(result->model), QString::fromStdString(result->device),
                                QString::fromStdString(result->dtype)));
  QStringList warnings;
  for (const auto& warning : result->warnings) warnings << QString::fromStdString(warning);
  Q_EMIT message(warnings.isEmpty()
                     ? tr("Done in %1 s").arg(result->seconds, 0, 'f', 1)
                     : plural(warnings.size(), tr("Note: "), tr("Notes: ")) + warnings.join(QStringLiteral("; ")));
}

void GenerateView::setPrompt(const QString& prompt) { prompt_->setPlainText(prompt); }
void GenerateView::setSeed(quint64 seed) { seed_->setText(QString::number(seed)); }
void GenerateView::rollSeed() { setSeed(pipelines::random_seed()); }

void GenerateView::saveTo(const QString& file, bool overwrite) {
  pipelines::save_picture(result_->pictures.front(), {.file = file.toStdString(), .overwrite = overwrite});
  Q_EMIT message(tr("Saved %1").arg(file));
}

void GenerateView::saveAs() {
  if (!hasPicture()) return;
  auto file = QFileDialog::getSaveFileName(this, tr("Save the picture"), QStringLiteral("picture.png"),
                                           tr("PNG picture (*.png)"));
  if (file.isEmpty()) return;
  if (!file.endsWith(QStringLiteral(".png"), Qt::CaseInsensitive)) file += QStringLiteral(".png");
  try {
    saveTo(file, true);  // the dialog has asked
  } catch (...) {
    Q_EMIT failed(pipelines::report_error(std::current_exception()));
  }
}

void GenerateView::copyPicture() {
  if (!hasPicture()) return;
  QApplication::clipboard()->setImage(toQImage(result_->pictures.front().image));
  Q_EMIT message(tr("Picture copied"));
}

}  // namespace polyphony::gui
