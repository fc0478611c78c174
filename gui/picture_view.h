// SPDX-License-Identifier: Apache-2.0
// A picture as large as the space allows, or a hint where there is none; takes dropped pictures if asked to.
#pragma once
#include <QImage>
#include <QWidget>

class QMimeData;

namespace polyphony::gui {

class PictureView : public QWidget {
  Q_OBJECT
 public:
  explicit PictureView(const QString& hint, QWidget* parent = nullptr);

  void setImage(const QImage& image);
  const QImage& image() const { return image_; }
  // Shown small over the picture's corner while it is not final.
  void setBadge(const QString& badge);
  QSize sizeHint() const override { return {520, 520}; }
  // Reads what was dropped or pasted: a local file, or pixels; else says why not.
  void take(const QMimeData* mime);

 Q_SIGNALS:
  void fileDropped(const QString& file);
  void imageDropped(const QImage& image);
  void dropRefused(const QString& reason);

 protected:
  void paintEvent(QPaintEvent* event) override;
  void dragEnterEvent(QDragEnterEvent* event) override;
  void dragLeaveEvent(QDragLeaveEvent* event) override;
  void dropEvent(QDropEvent* event) override;

 private:
  QString hint_;
  QString badge_;
  QImage image_;
  bool dragOver_ = false;
};

}  // namespace polyphony::gui
