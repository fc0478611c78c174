// SPDX-License-Identifier: Apache-2.0
#include "gui/main_window.h"

#include <gtest/gtest.h>

#include <QAccessible>
#include <QAction>
#include <QClipboard>
#include <QDropEvent>
#include <QElapsedTimer>
#include <QLabel>
#include <QLineEdit>
#include <QMimeData>
#include <QPlainTextEdit>
#include <QPushButton>
#include <QSpinBox>
#include <QTabWidget>
#include <QTemporaryDir>
#include <QTimer>

#include "gui/caption_view.h"
#include "gui/generate_view.h"
#include "gui/picture_view.h"
#include "tests/gui/application.h"
#include "tests/support/fake_session.h"

namespace polyphony::gui {
namespace {

using polyphony::testing::FakeBehaviour;
using polyphony::testing::FakeSession;
using namespace std::chrono_literals;

class StudioWindow : public ::testing::Test {
 protected:
  StudioWindow() : application_(polyphony::testing::application()) {}

  void open() {
    window_ = std::make_unique<MainWindow>([this]() -> std::unique_ptr<pipelines::Session> {
      if (open_error_) std::rethrow_exception(open_error_);
      return std::make_unique<FakeSession>(behaviour_);
    });
    window_->show();
    window_->runner().openModel();
    waitIdle();
  }

  void waitIdle() {
    ASSERT_TRUE(QTest::qWaitFor([this] { return !window_->runner().busy(); }, 20000));
  }
  template <class T>
  T* child(const char* name) {
    auto* found = window_->findChild<T*>(QString::fromLatin1(name));
    EXPECT_NE(found, nullptr) << name;
    return found;
  }
  void click(const char* name) { QTest::mouseClick(child<QPushButton>(name), Qt::LeftButton); }
  QPushButton* generateButton() { return window_->generateView().findChild<QPushButton*>(QStringLiteral("primary")); }
  void clickGenerate() { QTest::mouseClick(generateButton(), Qt::LeftButton); }
  std::string status() { return window_->statusText().toStdString(); }
  void drop(QMimeData& data) {
    auto* zone = child<PictureView>("dropZone");
    // Qt hands a drop to the widget that took the drag before it.
    QDragEnterEvent enter(QPoint(10, 10), Qt::CopyAction, &data, Qt::LeftButton, Qt::NoModifier);
    QApplication::sendEvent(zone, &enter);
    ASSERT_TRUE(enter.isAccepted());
    QDropEvent event(QPointF(10, 10), Qt::CopyAction, &data, Qt::LeftButton, Qt::NoModifier);
    QApplication::sendEvent(zone, &event);
  }

  QApplication& application_;
  std::shared_ptr<FakeBehaviour> behaviour_ = std::make_shared<FakeBehaviour>();
  std::exception_ptr open_error_;
  std::unique_ptr<MainWindow> window_;
};

TEST_F(StudioWindow, DrawsThePictureThatThePromptAsksFor) {
  open();
  QTest::keyClicks(child<QPlainTextEdit>("prompt"), QStringLiteral("a red circle"));
  child<QLineEdit>("seed")->setText(QStringLiteral("7"));
  clickGenerate();
  waitIdle();
  EXPECT_EQ(child<PictureView>("picture")->image(), toQImage(polyphony::testing::fake_picture(7)));
  EXPECT_TRUE(child<QLabel>("parameters")->text().startsWith(QStringLiteral("seed 7, 4 steps")));
  EXPECT_NE(status().find("Done"), std::string::npos);
}

TEST_F(StudioWindow, TakesTheDefaultsOfTheModel) {
  open();
  EXPECT_EQ(child<QSpinBox>("steps")->value(), 4);
  EXPECT_EQ(window_->generateView().request().guidance, 2.0);
}

TEST_F(StudioWindow, CancelIsSeenAtOnceAndTakesEffectWithinAQuarterOfASecond) {
  behaviour_->step_time = 40ms;
  open();
  child<QPlainTextEdit>("prompt")->setPlainText(QStringLiteral("x"));
  child<QSpinBox>("steps")->setValue(500);
  clickGenerate();
  QTest::qWait(150);
  ASSERT_TRUE(window_->runner().busy());
  const polyphony::testing::MachinePauses pauses;
  QElapsedTimer timer;
  timer.start();
  click("cancel");
  EXPECT_EQ(child<QPushButton>("cancel")->text(), QStringLiteral("Cancelling..."));
  const auto shown_ms = timer.elapsed();
  waitIdle();
  EXPECT_LT(shown_ms, pauses.allowed(50));
  EXPECT_LT(timer.elapsed(), pauses.allowed(250));
  EXPECT_EQ(status(), "Cancelled");
  child<QSpinBox>("steps")->setValue(1);
  clickGenerate();
  waitIdle();
  EXPECT_TRUE(window_->generateView().hasPicture());
}

TEST_F(StudioWindow, EscapeCancelsAndControlReturnStarts) {
  behaviour_->step_time = 20ms;
  open();
  auto* prompt = child<QPlainTextEdit>("prompt");
  prompt->setPlainText(QStringLiteral("x"));
  child<QSpinBox>("steps")->setValue(500);
  window_->activateWindow();
  prompt->setFocus();
  QTest::qWait(20);
  QTest::keyClick(prompt, Qt::Key_Return, Qt::ControlModifier);
  ASSERT_EQ(window_->runner().state(), RunnerState::generating);
  QTest::keyClick(prompt, Qt::Key_Escape);
  EXPECT_EQ(window_->runner().state(), RunnerState::cancelling);
  waitIdle();
}

TEST_F(StudioWindow, NeverRunsTwoJobsForFiftyFastClicks) {
  behaviour_->step_time = 5ms;
  open();
  child<QPlainTextEdit>("prompt")->setPlainText(QStringLiteral("x"));
  for (int i = 0; i < 50; ++i) {
    clickGenerate();
    window_->generateView().start();
  }
  waitIdle();
  EXPECT_EQ(behaviour_->most_running, 1);
  EXPECT_EQ(behaviour_->calls, 1);
}

TEST_F(StudioWindow, StaysResponsiveWhileTheSessionIsBusyAndChatty) {
  behaviour_->step_time = 1ms;
  open();
  child<QPlainTextEdit>("prompt")->setPlainText(QStringLiteral("x"));
  child<QSpinBox>("steps")->setValue(1000);
  const polyphony::testing::MachinePauses pauses;
  qint64 longest = 0;
  QElapsedTimer since;
  QTimer heartbeat;
  QObject::connect(&heartbeat, &QTimer::timeout, [&] { longest = std::max(longest, since.restart()); });
  clickGenerate();
  since.start();
  heartbeat.start(16);
  waitIdle();
  EXPECT_LT(longest, pauses.allowed(100));
}

TEST_F(StudioWindow, ShowsEveryKindOfErrorWithItsCodeAndGoesOn) {
  open();
  child<QPlainTextEdit>("prompt")->setPlainText(QStringLiteral("x"));
  const std::pair<std::function<void()>, const char*> errors[] = {
      {[] { throw DataError("[model] weights are torn"); }, "Error (data): [model] weights are torn"},
      {[] { throw MemoryError("[memory] 7 GiB needed"); }, "Error (memory): [memory] 7 GiB needed"},
      {[] { throw DeviceError("[device] no GPU"); }, "Error (device): [device] no GPU"},
      {[] { throw NonFiniteError("[sampler] NaN"); }, "Error (non_finite): [sampler] NaN"},
      {[] { throw std::bad_alloc(); }, "Error (memory)"},
      {[] { throw std::logic_error("our own bug"); }, "Error (failure): our own bug"},
  };
  for (const auto& [raise, shown] : errors) {
    behaviour_->on_generate = raise;
    clickGenerate();
    waitIdle();
    EXPECT_EQ(status().find(shown), 0u) << status();
    EXPECT_TRUE(generateButton()->isEnabled());
  }
  behaviour_->on_generate = nullptr;
  clickGenerate();
  waitIdle();
  EXPECT_TRUE(window_->generateView().hasPicture());
}

TEST_F(StudioWindow, AModelThatCannotBeOpenedIsAnErrorThatCanBeRetried) {
  open_error_ = std::make_exception_ptr(DataError("[model] no such folder"));
  open();
  EXPECT_EQ(status(), "Error (data): [model] no such folder");
  open_error_ = nullptr;
  child<QPlainTextEdit>("prompt")->setPlainText(QStringLiteral("x"));
  clickGenerate();
  waitIdle();
  EXPECT_TRUE(window_->generateView().hasPicture());
}

TEST_F(StudioWindow, CaptionsADroppedFileAndReusesTheWords) {
  open();
  QTemporaryDir folder;
  QFile file(folder.filePath(QStringLiteral("a.png")));
  ASSERT_TRUE(file.open(QIODevice::WriteOnly));
  file.write("picture");
  file.close();
  window_->showView(QStringLiteral("caption"));
  QMimeData data;
  data.setUrls({QUrl::fromLocalFile(file.fileName())});
  drop(data);
  waitIdle();
  EXPECT_EQ(window_->captionView().caption().toStdString(), behaviour_->caption_text);
  click("copyCaption");
  EXPECT_EQ(QApplication::clipboard()->text().toStdString(), behaviour_->caption_text);
  click("useAsPrompt");
  EXPECT_EQ(window_->generateView().request().prompt, behaviour_->caption_text);
}

TEST_F(StudioWindow, RefusesWhatIsNoPictureWithAReasonAndNoDialog) {
  open();
  window_->showView(QStringLiteral("caption"));
  QTemporaryDir folder;
  QFile empty(folder.filePath(QStringLiteral("empty.png")));
  ASSERT_TRUE(empty.open(QIODevice::WriteOnly));
  const std::pair<QUrl, const char*> drops[] = {
      {QUrl::fromLocalFile(folder.path()), "is a folder"},
      {QUrl::fromLocalFile(empty.fileName()), "is empty"},
      {QUrl::fromLocalFile(QStringLiteral("/nowhere/x.png")), "is not there"},
      {QUrl(QStringLiteral("https://example.com/x.png")), "only files on this computer"},
  };
  for (const auto& [url, reason] : drops) {
    QMimeData data;
    data.setUrls({url});
    drop(data);
    EXPECT_NE(status().find(reason), std::string::npos) << status();
    EXPECT_FALSE(window_->runner().busy());
  }
  EXPECT_EQ(QApplication::activeModalWidget(), nullptr);
  behaviour_->on_caption = [] { throw DataError("[image] expected PNG, JPEG, WebP, BMP or TIFF"); };
  QMimeData text;
  empty.write("words");
  empty.flush();
  text.setUrls({QUrl::fromLocalFile(empty.fileName())});
  drop(text);
  waitIdle();
  EXPECT_EQ(status().find("Error (data): [image]"), 0u) << status();
}

TEST_F(StudioWindow, TakesPastedPixelsOfAnyFormat) {
  open();
  for (const auto format : {QImage::Format_Mono, QImage::Format_Grayscale16, QImage::Format_ARGB32}) {
    QImage image(9, 5, format);
    image.fill(0);
    QApplication::clipboard()->setImage(image);
    window_->captionView().paste();
    waitIdle();
    EXPECT_EQ(window_->captionView().caption().toStdString(), behaviour_->caption_text);
  }
}

TEST_F(StudioWindow, ShowsTextFromOutsideAsPlainText) {
  open();
  const auto hostile = QStringLiteral("<img src=file:///etc/passwd><b>bold</b>");
  behaviour_->caption_text = hostile.toStdString();
  QImage image(4, 4, QImage::Format_RGB888);
  image.fill(Qt::red);
  window_->captionView().openImage(image);
  waitIdle();
  for (auto* label : window_->findChildren<QLabel*>()) {
    const bool shows_markup = label->text().contains(QLatin1Char('<'));
    EXPECT_TRUE(!shows_markup || label->textFormat() == Qt::PlainText) << label->objectName().toStdString();
  }
  EXPECT_EQ(child<QLabel>("caption")->text(), hostile);
  behaviour_->on_generate = [] { throw DataError("<h1>big</h1>"); };
  child<QPlainTextEdit>("prompt")->setPlainText(hostile);
  clickGenerate();
  waitIdle();
  EXPECT_EQ(status(), "Error (data): <h1>big</h1>");
  EXPECT_FALSE(child<QLabel>("status")->toolTip().contains(QStringLiteral("<h1>")));
}

TEST_F(StudioWindow, SavesAPictureThatCarriesItsRequest) {
  open();
  child<QPlainTextEdit>("prompt")->setPlainText(QStringLiteral("a blue star"));
  child<QLineEdit>("seed")->setText(QStringLiteral("11"));
  clickGenerate();
  waitIdle();
  QTemporaryDir folder;
  const auto file = folder.filePath(QStringLiteral("star.png"));
  window_->generateView().saveTo(file, false);
  const auto request = pipelines::request_from_picture(file.toStdString());
  EXPECT_EQ(request.prompt, "a blue star");
  EXPECT_EQ(request.seed, 11u);
}

TEST_F(StudioWindow, ClosesWhileAJobRuns) {
  behaviour_->step_time = 20ms;
  open();
  child<QPlainTextEdit>("prompt")->setPlainText(QStringLiteral("x"));
  child<QSpinBox>("steps")->setValue(1000);
  clickGenerate();
  QTest::qWait(60);
  QElapsedTimer timer;
  timer.start();
  window_.reset();
  EXPECT_LT(timer.elapsed(), 3000);
  EXPECT_EQ(behaviour_->running, 0);
}

TEST_F(StudioWindow, EveryControlThatTakesTheFocusHasAnAccessibleName) {
  open();
  for (auto* widget : window_->findChildren<QWidget*>()) {
    const bool inner = widget->objectName().startsWith(QStringLiteral("qt_"));
    if (widget->focusPolicy() == Qt::NoFocus || inner || !widget->isVisibleTo(window_.get())) continue;
    auto* accessible = QAccessible::queryAccessibleInterface(widget);
    ASSERT_NE(accessible, nullptr);
    EXPECT_FALSE(accessible->text(QAccessible::Name).isEmpty())
        << widget->metaObject()->className() << " " << widget->objectName().toStdString();
  }
}

TEST_F(StudioWindow, EveryActionHasTextAndNoShortcutIsUsedTwice) {
  open();
  QList<QKeySequence> seen;
  for (auto* action : window_->findChildren<QAction*>()) {
    if (action->shortcut().isEmpty() || !action->isVisible()) continue;
    EXPECT_FALSE(action->text().isEmpty());
    EXPECT_FALSE(seen.contains(action->shortcut())) << action->text().toStdString();
    seen << action->shortcut();
  }
  EXPECT_GE(seen.size(), 9);
}

}  // namespace
}  // namespace polyphony::gui
