// SPDX-License-Identifier: Apache-2.0
// Qt 6.4 cannot ask the desktop for a dark scheme, so both palettes are our own and `system` keeps the desktop's.
#include "gui/theme.h"

#include <QApplication>
#include <QPalette>
#include <QStyleFactory>

namespace polyphony::gui {
namespace {

struct Colours {
  QRgb window, base, raised, text, faint, line, accent, accentText;
};

constexpr Colours kLight{0xfff4f5f7, 0xffffffff, 0xffffffff, 0xff1d2129,
                         0xff6a7180, 0xffcfd4dd, 0xff3a5bc7, 0xffffffff};
constexpr Colours kDark{0xff1b1e24, 0xff23272f, 0xff2c313b, 0xffe8eaee, 0xff9aa2b1, 0xff434a57, 0xff5c7cf0, 0xff0d1220};

QPalette paletteOf(const Colours& c) {
  QPalette palette;
  palette.setColor(QPalette::Window, c.window);
  palette.setColor(QPalette::WindowText, c.text);
  palette.setColor(QPalette::Base, c.base);
  palette.setColor(QPalette::AlternateBase, c.window);
  palette.setColor(QPalette::Text, c.text);
  palette.setColor(QPalette::PlaceholderText, c.faint);
  palette.setColor(QPalette::Button, c.raised);
  palette.setColor(QPalette::ButtonText, c.text);
  palette.setColor(QPalette::ToolTipBase, c.raised);
  palette.setColor(QPalette::ToolTipText, c.text);
  palette.setColor(QPalette::Mid, c.line);
  palette.setColor(QPalette::Midlight, c.line);
  palette.setColor(QPalette::Dark, c.line);
  palette.setColor(QPalette::Light, c.base);
  palette.setColor(QPalette::Shadow, c.line);
  palette.setColor(QPalette::Highlight, c.accent);
  palette.setColor(QPalette::HighlightedText, c.accentText);
  palette.setColor(QPalette::Link, c.accent);
  for (const auto role : {QPalette::WindowText, QPalette::Text, QPalette::ButtonText})
    palette.setColor(QPalette::Disabled, role, c.faint);
  return palette;
}

const char* const kStyleSheet = R"(
QPlainTextEdit, QLineEdit {
  background: palette(base); border: 1px solid palette(mid); border-radius: 6px; padding: 5px 7px;
  selection-background-color: palette(highlight); selection-color: palette(highlighted-text);
}
QPlainTextEdit:focus, QLineEdit:focus { border: 1px solid palette(highlight); }
QPushButton {
  background: palette(button); border: 1px solid palette(mid); border-radius: 6px; padding: 6px 14px;
}
QPushButton:hover, QPushButton:focus { border-color: palette(highlight); }
QPushButton#primary:enabled {
  background: palette(highlight); color: palette(highlighted-text); border-color: palette(highlight); font-weight: 600;
}
QPushButton#primary:focus { border: 2px solid palette(window-text); padding: 5px 13px; }
QProgressBar {
  background: palette(base); border: 1px solid palette(mid); border-radius: 6px; text-align: center; min-height: 20px;
}
QProgressBar::chunk { background: palette(highlight); border-radius: 5px; }
QTabWidget::pane { border: 0; }
QTabBar::tab { padding: 8px 22px; border: 0; border-bottom: 3px solid transparent; }
QTabBar::tab:selected { border-bottom: 3px solid palette(highlight); font-weight: 600; }
QTabBar::tab:focus { color: palette(highlight); }
QLabel#heading { font-weight: 600; }
QStatusBar::item { border: 0; }
)";

}  // namespace

void applyTheme(QApplication& application, Theme theme) {
  application.setStyle(QStyleFactory::create(QStringLiteral("Fusion")));
  if (theme == Theme::light) application.setPalette(paletteOf(kLight));
  if (theme == Theme::dark) application.setPalette(paletteOf(kDark));
  application.setStyleSheet(QString::fromLatin1(kStyleSheet));
}

}  // namespace polyphony::gui
