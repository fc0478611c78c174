// SPDX-License-Identifier: Apache-2.0
// The look: one style, two palettes, and rules that name palette roles only.
#pragma once
#include <QString>

class QApplication;

namespace polyphony::gui {

enum class Theme { system, light, dark };

// Applies style, palette and style sheet to the whole application.
void applyTheme(QApplication& application, Theme theme);

}  // namespace polyphony::gui
