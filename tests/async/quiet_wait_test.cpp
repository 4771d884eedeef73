// A background wait does not keep an io_context running, and still completes while it runs.
#include <reeve/async/quiet_wait.hpp>

#include "tests/support/pch.hpp"

namespace reeve::async {
namespace {

using namespace std::chrono_literals;

struct Background {
  boost::asio::io_context context;
  QuietWait quiet{context};
  boost::asio::steady_timer timer{context};
  bool rang = false;

  void start(std::chrono::milliseconds after) {
    boost::asio::post(context, [this, after] {
      timer.expires_after(after);
      timer.async_wait([this](const boost::system::error_code& error) {
        quiet.resumed();
        rang = !error;
      });
      quiet.started();
    });
  }
};

TEST(QuietWait, run_returns_although_the_wait_is_pending) {
  Background background;
  background.start(1h);
  background.context.run();  // hangs for an hour if the wait counts as work
  EXPECT_FALSE(background.rang);
}

TEST(QuietWait, wait_completes_while_other_work_keeps_the_context_running) {
  Background background;
  background.start(0ms);
  boost::asio::steady_timer other(background.context, 20ms);
  other.async_wait([](const boost::system::error_code&) {});
  background.context.run();
  EXPECT_TRUE(background.rang);
}

}  // namespace
}  // namespace reeve::async
