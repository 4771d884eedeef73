// `run`: unloads what is due each interval, until it is cancelled or the cache ends.
#include <boost/asio/bind_cancellation_slot.hpp>
#include <reeve/cache.hpp>

#include "tests/support/pch.hpp"

namespace reeve::cache {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Cache = ModelCache<std::string>;

class CacheRun : public ::testing::Test {
 protected:
  CacheRun() {
    config_.clock = &clock_;
    config_.ttl = seconds{10};
    config_.check_interval = milliseconds{10};
    cache_.emplace(context_.get_executor(), config_);
    asio::co_spawn(context_, cache_->run(),
                   asio::bind_cancellation_slot(stop_.slot(), [this](std::exception_ptr failure) {
                     ended_ = true;
                     failure_ = failure;
                   }));
    context_.poll();
  }
  /// Runs until the cache has been looked through once more, or `run` has ended.
  void next_interval() {
    context_.restart();
    context_.run_one();
  }

  ManualClock clock_;
  CacheConfig config_;
  asio::io_context context_{1};
  std::optional<Cache> cache_;
  asio::cancellation_signal stop_;
  bool ended_ = false;
  std::exception_ptr failure_;
};

TEST_F(CacheRun, UnloadsWhatIsDueAndGoesOn) {
  cache_->put("a", "x");
  cache_->put("held", "y");
  const auto held = cache_->get("held");
  next_interval();
  EXPECT_EQ(cache_->stats().models, 2u) << "nothing is due";
  clock_.advance(seconds{10});
  next_interval();
  EXPECT_EQ(cache_->stats().models, 1u);
  EXPECT_EQ(cache_->stats().expired, 1u);
  cache_->put("b", "z");
  clock_.advance(seconds{10});
  next_interval();
  EXPECT_EQ(cache_->stats().expired, 2u);
  EXPECT_FALSE(ended_);
}

TEST_F(CacheRun, StopsWhenItIsCancelled) {
  stop_.emit(asio::cancellation_type::terminal);
  context_.restart();
  context_.run();
  ASSERT_TRUE(ended_ && failure_);
  try {
    std::rethrow_exception(failure_);
  } catch (const boost::system::system_error& e) {
    EXPECT_EQ(e.code(), asio::error::operation_aborted);
  }
}

TEST_F(CacheRun, EndsWithTheCache) {
  cache_.reset();
  for (int i = 0; i < 3 && !ended_; ++i) next_interval();
  EXPECT_TRUE(ended_);
  EXPECT_FALSE(failure_);
}

}  // namespace
}  // namespace reeve::cache
