// SPDX-License-Identifier: Apache-2.0
// Painting and dropping; colours come from the palette, so that dark themes work.
#include "gui/picture_view.h"

#include <QDragEnterEvent>
#include <QFileInfo>
#include <QMimeData>
#include <QPainter>
#include <QPainterPath>
#include <QUrl>

namespace polyphony::gui {
namespace {

constexpr int kRadius = 10;
constexpr int kMargin = 14;

}  // namespace

PictureView::PictureView(const QString& hint, QWidget* parent) : QWidget(parent), hint_(hint) {
  setMinimumSize(260, 260);
  setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Expanding);
}

void PictureView::setImage(const QImage& image) {
  image_ = image;
  setAccessibleDescription(image.isNull() ? hint_ : tr("%1 by %2 pixels").arg(image.width()).arg(image.height()));
  update();
}

void PictureView::setBadge(const QString& badge) {
  badge_ = badge;
  update();
}

void PictureView::paintEvent(QPaintEvent*) {
  QPainter painter(this);
  painter.setRenderHint(QPainter::Antialiasing);
  QPainterPath frame;
  frame.addRoundedRect(QRectF(rect()).adjusted(0.5, 0.5, -0.5, -0.5), kRadius, kRadius);
  painter.fillPath(frame, palette().color(QPalette::Base));
  QPen pen(palette().color(dragOver_ ? QPalette::Highlight : QPalette::Mid), dragOver_ ? 3 : 1);
  if (image_.isNull() && acceptDrops()) pen.setStyle(Qt::DashLine);
  painter.setPen(pen);
  painter.drawPath(frame);
  const auto inside = rect().adjusted(kMargin, kMargin, -kMargin, -kMargin);
  if (image_.isNull()) {
    painter.setPen(palette().color(QPalette::PlaceholderText));
    painter.drawText(inside, Qt::AlignCenter | Qt::TextWordWrap, hint_);
    return;
  }
  const auto pixels = inside.size() * devicePixelRatioF();
  auto scaled = image_.scaled(pixels, Qt::KeepAspectRatio, Qt::SmoothTransformation);
  scaled.setDevicePixelRatio(devicePixelRatioF());
  QRectF place(QPointF(), scaled.deviceIndependentSize());
  place.moveCenter(QRectF(inside).center());
  QPainterPath rounded;
  rounded.addRoundedRect(place, 6, 6);
  painter.setClipPath(rounded);
  painter.drawImage(place.topLeft(), scaled);
  if (badge_.isEmpty()) return;
  const auto text = painter.fontMetrics().boundingRect(badge_).adjusted(-10, -5, 10, 5);
  QRectF box(place.topLeft() + QPointF(10, 10), text.size());
  painter.setPen(Qt::NoPen);
  painter.setBrush(palette().color(QPalette::ToolTipBase));
  painter.drawRoundedRect(box, 6, 6);
  painter.setPen(palette().color(QPalette::ToolTipText));
  painter.drawText(box, Qt::AlignCenter, badge_);
}

void PictureView::dragEnterEvent(QDragEnterEvent* event) {
  event->acceptProposedAction();
  dragOver_ = true;
  update();
}

void PictureView::dragLeaveEvent(QDragLeaveEvent*) {
  dragOver_ = false;
  update();
}

void PictureView::dropEvent(QDropEvent* event) {
  dragOver_ = false;
  update();
  event->acceptProposedAction();
  take(event->mimeData());
}

void PictureView::take(const QMimeData* mime) {
  for (const auto& url : mime->urls()) {
    if (!url.isLocalFile()) continue;
    const QFileInfo file(url.toLocalFile());
    if (file.isDir()) return Q_EMIT dropRefused(tr("%1 is a folder, not a picture").arg(file.fileName()));
    if (!file.exists()) return Q_EMIT dropRefused(tr("%1 is not there any more").arg(file.fileName()));
    if (file.size() == 0) return Q_EMIT dropRefused(tr("%1 is empty").arg(file.fileName()));
    return Q_EMIT fileDropped(file.absoluteFilePath());
  }
  if (mime->hasImage()) {
    const auto image = qvariant_cast<QImage>(mime->imageData());
    if (!image.isNull()) return Q_EMIT imageDropped(image);
  }
  Q_EMIT dropRefused(mime->hasUrls() ? tr("only files on this computer can be opened") : tr("that holds no picture"));
}

}  // namespace polyphony::gui
