// SPDX-License-Identifier: Apache-2.0
// The session decodes what is dropped; the window only shows what it gives back.
#include "gui/caption_view.h"

#include <QApplication>
#include <QClipboard>
#include <QFileDialog>
#include <QFileInfo>
#include <QHBoxLayout>
#include <QLabel>
#include <QMimeData>
#include <QProgressBar>
#include <QPushButton>
#include <QVBoxLayout>

#include "gui/picture_view.h"

namespace polyphony::gui {
namespace {

constexpr int kWordsWidth = 330;

}  // namespace

CaptionView::CaptionView(SessionRunner& runner, QWidget* parent) : QWidget(parent), runner_(runner) {
  picture_ = new PictureView(tr("Drop a picture here, or open or paste one"));
  picture_->setObjectName(QStringLiteral("dropZone"));
  picture_->setAccessibleName(tr("Picture to caption"));
  picture_->setAcceptDrops(true);

  auto* heading = new QLabel(tr("What the picture shows"));
  heading->setObjectName(QStringLiteral("heading"));
  caption_ = new QLabel;
  caption_->setObjectName(QStringLiteral("caption"));
  caption_->setAccessibleName(tr("Caption"));
  caption_->setTextFormat(Qt::PlainText);
  caption_->setTextInteractionFlags(Qt::TextSelectableByMouse | Qt::TextSelectableByKeyboard);
  caption_->setWordWrap(true);
  caption_->setAlignment(Qt::AlignTop | Qt::AlignLeft);
  auto large = caption_->font();
  large.setPointSizeF(large.pointSizeF() * 1.25);
  caption_->setFont(large);
  confidence_ = new QProgressBar;
  confidence_->setAccessibleName(tr("Confidence"));
  confidence_->setRange(0, 100);
  confidence_->setFormat(tr("confidence %p %"));
  details_ = new QLabel;
  details_->setTextFormat(Qt::PlainText);
  details_->setWordWrap(true);
  details_->setForegroundRole(QPalette::PlaceholderText);

  open_ = new QPushButton(tr("&Open a picture..."));
  open_->setObjectName(QStringLiteral("primary"));
  open_->setAccessibleName(tr("Open a picture"));
  open_->setToolTip(tr("Ctrl+O"));
  copy_ = new QPushButton(tr("&Copy"));
  copy_->setObjectName(QStringLiteral("copyCaption"));
  copy_->setAccessibleName(tr("Copy the caption"));
  use_ = new QPushButton(tr("&Use as prompt"));
  use_->setObjectName(QStringLiteral("useAsPrompt"));
  use_->setAccessibleName(tr("Use the caption as prompt"));

  auto* buttons = new QHBoxLayout;
  buttons->addWidget(copy_);
  buttons->addWidget(use_, 1);
  auto* words = new QWidget;
  words->setFixedWidth(kWordsWidth);
  auto* column = new QVBoxLayout(words);
  column->setContentsMargins(0, 0, 0, 0);
  column->setSpacing(10);
  column->addWidget(heading);
  column->addWidget(caption_, 1);
  column->addWidget(details_);
  column->addWidget(confidence_);
  column->addLayout(buttons);
  column->addSpacing(4);
  column->addWidget(open_);
  auto* layout = new QHBoxLayout(this);
  layout->setContentsMargins(16, 16, 16, 8);
  layout->setSpacing(18);
  layout->addWidget(picture_, 1);
  layout->addWidget(words);

  connect(open_, &QPushButton::clicked, this, &CaptionView::openDialog);
  connect(copy_, &QPushButton::clicked, this, &CaptionView::copyCaption);
  connect(use_, &QPushButton::clicked, this, [this] { Q_EMIT usePrompt(text_); });
  connect(picture_, &PictureView::fileDropped, this, &CaptionView::openFile);
  connect(picture_, &PictureView::imageDropped, this, &CaptionView::openImage);
  connect(picture_, &PictureView::dropRefused, this,
          [this](const QString& reason) { Q_EMIT message(tr("Not taken: %1").arg(reason)); });
  connect(&runner_, &SessionRunner::stateChanged, this, &CaptionView::showState);
  connect(&runner_, &SessionRunner::captioned, this, &CaptionView::showResult);
  connect(&runner_, &SessionRunner::progressed, this, [this](const ProgressUpdate& update) {
    if (mine_ && !update.preview.isNull()) picture_->setImage(update.preview);
  });
  connect(&runner_, &SessionRunner::cancelled, this, [this] {
    if (mine_) Q_EMIT message(tr("Cancelled"));
  });
  showState();
}

void CaptionView::start(const pipelines::CaptionRequest& request) {
  if (runner_.busy()) return Q_EMIT message(tr("One thing at a time: cancel the running job first"));
  text_.clear();
  caption_->clear();
  details_->clear();
  confidence_->setValue(0);
  picture_->setImage({});
  mine_ = true;
  runner_.caption(request);
}

void CaptionView::openFile(const QString& file) {
  start({.file = QFile::encodeName(file).toStdString(), .image = {}, .max_tokens = {}});
}

void CaptionView::openImage(const QImage& image) { start({.file = {}, .image = toRgbImage(image), .max_tokens = {}}); }

void CaptionView::openDialog() {
  const auto file =
      QFileDialog::getOpenFileName(this, tr("Open a picture"), QString(),
                                   tr("Pictures (*.png *.jpg *.jpeg *.webp *.bmp *.tif *.tiff);;All files (*)"));
  if (!file.isEmpty()) openFile(file);
}

void CaptionView::paste() {
  if (const auto* mime = QApplication::clipboard()->mimeData()) picture_->take(mime);
}

void CaptionView::copyCaption() {
  if (text_.isEmpty()) return;
  QApplication::clipboard()->setText(text_);
  Q_EMIT message(tr("Caption copied"));
}

void CaptionView::showState() {
  const auto state = runner_.state();
  if (state == RunnerState::idle) mine_ = false;
  open_->setEnabled(state == RunnerState::idle);
  open_->setText(mine_ ? tr("Reading the picture...") : tr("&Open a picture..."));
  copy_->setEnabled(!text_.isEmpty());
  use_->setEnabled(!text_.isEmpty());
}

void CaptionView::showResult(const CaptionResultPtr& result) {
  text_ = QString::fromStdString(result->text);
  caption_->setText(text_);
  picture_->setImage(toQImage(result->picture));
  confidence_->setValue(qRound(100 * result->confidence));
  QStringList notes{tr("%1 tokens in %2 s, %3 %4")
                        .arg(result->tokens)
                        .arg(result->seconds, 0, 'f', 2)
                        .arg(QString::fromStdString(result->device), QString::fromStdString(result->dtype))};
  for (const auto& warning : result->warnings) notes << QString::fromStdString(warning);
  details_->setText(notes.join(QLatin1Char('\n')));
  Q_EMIT message(tr("Done in %1 s").arg(result->seconds, 0, 'f', 1));
}

}  // namespace polyphony::gui
