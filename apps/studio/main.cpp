// SPDX-License-Identifier: Apache-2.0
// polyphony-studio: the window, opened on a real session.
#include <QApplication>
#include <QCommandLineParser>
#include <QFile>
#include <QTextStream>

#include "core/error.h"
#include "gui/generate_view.h"
#include "gui/main_window.h"
#include "gui/screenshot.h"
#include "gui/theme.h"

namespace {

using polyphony::ExitCode;
using polyphony::gui::Theme;

QCommandLineOption option(const char* name, const char* help, const char* value, const char* preset = "") {
  return QCommandLineOption(QString::fromLatin1(name), QString::fromLatin1(help), QString::fromLatin1(value),
                            QString::fromLatin1(preset));
}

int usage(const QString& message) {
  QTextStream(stderr) << "polyphony-studio: error: " << message << "\n  try: polyphony-studio --help\n";
  return static_cast<int>(ExitCode::usage);
}

}  // namespace

int main(int argc, char** argv) {
  QApplication application(argc, argv);
  QApplication::setApplicationName(QStringLiteral("polyphony-studio"));
  QApplication::setApplicationVersion(QStringLiteral(POLYPHONY_VERSION));
  QCommandLineParser parser;
  parser.setApplicationDescription(QStringLiteral("Pictures from words, and words from pictures."));
  const auto help = parser.addHelpOption();
  const auto version = parser.addVersionOption();
  const auto model = option("model", "Model folder (default: the one that ships)", "FOLDER");
  const auto device = option("device", "auto, cpu, cuda or cuda:N (default: auto)", "DEVICE", "auto");
  const auto threads = option("threads", "CPU threads (default: all)", "N", "0");
  const auto theme = option("theme", "system, light or dark (default: system)", "THEME", "system");
  const auto view = option("view", "generate or caption (default: generate)", "VIEW", "generate");
  const auto prompt = option("prompt", "Text to start with; drawn at once with --screenshot", "TEXT");
  const auto seed = option("seed", "Seed to start with", "N");
  const auto image = option("image", "Picture to caption with --screenshot", "FILE");
  const auto screenshot = option("screenshot", "Render the window to this PNG and leave", "FILE");
  parser.addOptions({model, device, threads, theme, view, prompt, seed, image, screenshot});
  if (!parser.parse(application.arguments())) return usage(parser.errorText());
  if (parser.isSet(help)) parser.showHelp();
  if (parser.isSet(version)) parser.showVersion();

  const QStringList themes{QStringLiteral("system"), QStringLiteral("light"), QStringLiteral("dark")};
  const auto themeIndex = themes.indexOf(parser.value(theme));
  if (themeIndex < 0) return usage(QStringLiteral("--theme: expected system, light or dark"));
  if (!QStringList{QStringLiteral("generate"), QStringLiteral("caption")}.contains(parser.value(view)))
    return usage(QStringLiteral("--view: expected generate or caption"));
  bool threadsAreNumber = false;
  bool seedIsNumber = true;
  polyphony::pipelines::SessionOptions options;
  options.model_folder = QFile::encodeName(parser.value(model)).toStdString();
  options.device = parser.value(device).toStdString();
  options.threads = parser.value(threads).toUInt(&threadsAreNumber);
  if (!threadsAreNumber) return usage(QStringLiteral("--threads: expected a number from 0"));

  polyphony::gui::applyTheme(application, static_cast<Theme>(themeIndex));
  polyphony::gui::MainWindow window([options] { return polyphony::pipelines::open_session(options); });
  window.generateView().setPrompt(parser.value(prompt));
  if (parser.isSet(seed)) window.generateView().setSeed(parser.value(seed).toULongLong(&seedIsNumber));
  if (!seedIsNumber) return usage(QStringLiteral("--seed: expected a number from 0"));
  window.showView(parser.value(view));
  window.show();
  window.runner().openModel();
  if (!parser.isSet(screenshot)) return application.exec();
  return polyphony::gui::takeScreenshot(
      window, {.file = parser.value(screenshot), .prompt = parser.value(prompt), .image = parser.value(image)});
}
