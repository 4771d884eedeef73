// Single flight, pins, budget, expiry, removal under load, cancellation.
#include <reeve/cache.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/strand.hpp>
#include <cstdlib>

#include "tests/support/environment.hpp"
#include "tests/support/pch.hpp"

namespace reeve::cache {
namespace {

using boost::asio::awaitable;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Cache = ModelCache<std::string>;

class ModelCacheTest : public ::testing::Test {
 protected:
  ModelCacheTest() { config_.clock = &clock_; }
  Cache make() { return Cache(context_.get_executor(), config_); }
  Cache::Factory factory(std::string value = "model") {
    return [this, value]() -> awaitable<std::string> {
      ++calls_;
      boost::asio::steady_timer gate(context_, gate_);
      if (gate_ != boost::asio::steady_timer::time_point::min())
        co_await gate.async_wait(boost::asio::use_awaitable);
      if (fail_) throw std::runtime_error("no such model");
      co_return value;
    };
  }
  Cache::Handle obtain(Cache& cache, const std::string& id, ModelMetadata metadata = {}) {
    Cache::Handle handle;
    std::exception_ptr failure;
    boost::asio::co_spawn(context_, cache.get_or_create(id, factory(id), metadata),
                          [&](std::exception_ptr e, Cache::Handle h) {
                            failure = e;
                            handle = std::move(h);
                          });
    context_.restart();
    context_.run();
    if (failure) std::rethrow_exception(failure);
    return handle;
  }
  static ModelMetadata sized(ByteSize size) {
    ModelMetadata m;
    m.memory = size;
    return m;
  }

  ManualClock clock_;
  CacheConfig config_;
  boost::asio::io_context context_;
  boost::asio::steady_timer::time_point gate_ = boost::asio::steady_timer::time_point::min();
  int calls_ = 0;
  bool fail_ = false;
};

TEST_F(ModelCacheTest, LoadsOnceThenHits) {
  auto cache = make();
  EXPECT_EQ(cache.get("a"), nullptr);
  EXPECT_EQ(*obtain(cache, "a"), "a");
  EXPECT_EQ(*obtain(cache, "a"), "a");
  EXPECT_EQ(calls_, 1);
  const auto s = cache.stats();
  EXPECT_EQ(s.hits, 1u);
  EXPECT_EQ(s.loads, 1u);
  EXPECT_EQ(s.models, 1u);
}

TEST_F(ModelCacheTest, TheLastToLeaveStopsTheLoad) {
  auto cache = make();
  gate_ = std::chrono::steady_clock::now() + std::chrono::hours{1};
  boost::asio::cancellation_signal signal;
  boost::asio::co_spawn(
      context_, cache.get_or_create("m", factory()),
      boost::asio::bind_cancellation_slot(signal.slot(), [](std::exception_ptr, Cache::Handle) {}));
  context_.poll();
  EXPECT_EQ(cache.stats().loading, 1u);
  signal.emit(boost::asio::cancellation_type::terminal);
  context_.restart();
  context_.run();  // returns: nothing waits an hour
  EXPECT_EQ(cache.stats().loading, 0u);
  EXPECT_EQ(cache.stats().models, 0u);
  gate_ = boost::asio::steady_timer::time_point::min();
  EXPECT_TRUE(obtain(cache, "m"));
}

TEST_F(ModelCacheTest, PinsSurviveEvictionExpiryAndRemoval) {
  config_.models_max = 1;
  auto cache = make();
  const auto pinned = obtain(cache, "a");
  EXPECT_THROW(obtain(cache, "b"), CacheFullError);
  clock_.advance(std::chrono::hours{100});
  EXPECT_EQ(cache.remove_expired(), 0u);
  EXPECT_TRUE(cache.remove("a"));
  EXPECT_EQ(*pinned, "a");
  EXPECT_TRUE(obtain(cache, "b"));
}

TEST_F(ModelCacheTest, TimeToLiveCountsFromTheLastRelease) {
  config_.ttl = seconds{10};
  auto cache = make();
  auto handle = obtain(cache, "a");
  clock_.advance(seconds{100});
  handle.reset();
  clock_.advance(seconds{9});
  EXPECT_TRUE(cache.get("a"));
  clock_.advance(seconds{10});
  EXPECT_EQ(cache.remove_expired(), 1u);
  EXPECT_FALSE(cache.get("a"));
}

TEST_F(ModelCacheTest, KeepAlivePerModel) {
  auto cache = make();
  ModelMetadata at_once, for_ever;
  at_once.keep_alive = milliseconds{0};
  for_ever.keep_alive = milliseconds{-1};
  obtain(cache, "brief", at_once);
  obtain(cache, "eternal", for_ever);
  EXPECT_FALSE(cache.get("brief"));
  clock_.advance(std::chrono::hours{10'000});
  EXPECT_TRUE(cache.get("eternal"));
}

TEST_F(ModelCacheTest, BudgetIsReservedBeforeTheLoad) {
  config_.memory_max = 10_GiB;
  auto cache = make();
  obtain(cache, "a", sized(6_GiB));
  obtain(cache, "b", sized(6_GiB));
  EXPECT_FALSE(cache.get("a")) << "the idle one made room";
  EXPECT_EQ(cache.stats().memory, 6_GiB);
  const auto pinned = cache.get("b");
  const int before = calls_;
  EXPECT_THROW(obtain(cache, "c", sized(6_GiB)), CacheFullError);
  EXPECT_THROW(obtain(cache, "d", sized(11_GiB)), CacheFullError);
  EXPECT_EQ(calls_, before) << "nothing is loaded without room";
}

TEST_F(ModelCacheTest, SizeIsMeasuredWhereItIsNotDeclared) {
  Cache cache(context_.get_executor(), config_,
              [](const std::string& s) { return ByteSize{s.size()}; });
  obtain(cache, "12345");
  EXPECT_EQ(cache.stats().memory, 5_B);
}

TEST_F(ModelCacheTest, RemovedWhileLoadingIsDeliveredAndNotKept) {
  auto cache = make();
  gate_ = std::chrono::steady_clock::now() + milliseconds{5};
  Cache::Handle handle;
  boost::asio::co_spawn(context_, cache.get_or_create("m", factory()),
                        [&](std::exception_ptr, Cache::Handle h) { handle = h; });
  context_.poll();
  EXPECT_TRUE(cache.remove("m"));
  context_.restart();
  context_.run();
  EXPECT_TRUE(handle);
  EXPECT_FALSE(cache.get("m"));
}

TEST_F(ModelCacheTest, ErrorsAreNotKept) {
  auto cache = make();
  fail_ = true;
  EXPECT_THROW(obtain(cache, "m"), std::runtime_error);
  fail_ = false;
  EXPECT_TRUE(obtain(cache, "m"));
  EXPECT_EQ(cache.stats().failures, 1u);
}

TEST_F(ModelCacheTest, PutReplacesAndClearEmpties) {
  auto cache = make();
  cache.put("a", "one", sized(1_MiB));
  cache.put("a", "two", sized(2_MiB));
  EXPECT_EQ(*cache.get("a"), "two");
  EXPECT_EQ(cache.stats().memory, 2_MiB);
  EXPECT_EQ(cache.clear(), 1u);
  EXPECT_EQ(cache.stats().memory, 0_B);
}

TEST_F(ModelCacheTest, ARefusalUnloadsNothingAndAPutThatDoesNotFitKeepsTheOldModel) {
  config_.memory_max = 10_GiB;
  auto cache = make();
  cache.put("idle", "x", sized(2_GiB));
  cache.put("busy", "y", sized(4_GiB));
  const auto pinned = cache.get("busy");
  EXPECT_THROW(cache.put("large", "z", sized(7_GiB)), CacheFullError);
  EXPECT_THROW(cache.put("idle", "z", sized(7_GiB)), CacheFullError);
  EXPECT_EQ(*cache.get("idle"), "x");
  cache.put("idle", "z", sized(6_GiB));
  EXPECT_EQ(*cache.get("idle"), "z");
  EXPECT_EQ(cache.stats().memory, 10_GiB);
  EXPECT_EQ(cache.stats().evicted_for_room, 0u);
}

TEST_F(ModelCacheTest, WhatIsCheapToLoadLeavesFirstAndThenWhatIsLongIdle) {
  config_.models_max = 2;
  auto cache = make();
  const auto slow = [this](seconds time) -> Cache::Factory {
    return [this, time]() -> awaitable<std::string> {
      clock_.advance(time);
      co_return "model";
    };
  };
  const auto load = [&](const char* id, seconds time) {
    boost::asio::co_spawn(context_, cache.get_or_create(id, slow(time)), boost::asio::detached);
    context_.restart();
    context_.run();
  };
  load("costly", seconds{60});
  load("cheap", seconds{1});
  clock_.advance(seconds{10});
  load("third", seconds{1});
  EXPECT_TRUE(cache.get("costly")) << "although it was idle longer";
  EXPECT_FALSE(cache.get("cheap"));
  EXPECT_EQ(cache.stats().evicted_for_room, 1u);
}

TEST_F(ModelCacheTest, AModelHasANameOf1To256Bytes) {
  auto cache = make();
  EXPECT_THROW(cache.put("", "model"), ConfigError);
  EXPECT_THROW(obtain(cache, ""), ConfigError);
  const std::string long_name(257, 'x');
  try {
    cache.put(long_name, "model");
    FAIL();
  } catch (const ConfigError& e) {
    EXPECT_THAT(e.what(), ::testing::HasSubstr("xxx...' has 257 bytes; give one of 1 to 256"));
  }
  EXPECT_THROW(obtain(cache, long_name), ConfigError);
  EXPECT_EQ(calls_, 0) << "nothing was loaded";
  EXPECT_TRUE(obtain(cache, std::string(256, 'x')));
}

TEST_F(ModelCacheTest, ListsModelsWithWhatTheyAreDoing) {
  auto cache = make();
  cache.put("b", "x", sized(2_GiB));
  cache.put("a", "y", sized(1_GiB));
  const auto pinned = cache.get("a");
  clock_.advance(seconds{3});
  gate_ = std::chrono::steady_clock::now() + std::chrono::hours{1};
  boost::asio::cancellation_signal stop;
  boost::asio::co_spawn(context_, cache.get_or_create("c", factory(), sized(4_GiB)),
                        boost::asio::bind_cancellation_slot(stop.slot(), boost::asio::detached));
  context_.poll();
  const auto models = cache.models();
  ASSERT_EQ(models.size(), 3u);
  EXPECT_EQ(models[0].id, "a");
  EXPECT_EQ(models[0].state, ModelState::in_use);
  EXPECT_EQ(models[1].state, ModelState::idle);
  EXPECT_EQ(models[1].idle, seconds{3});
  EXPECT_EQ(models[2].state, ModelState::loading);
  EXPECT_EQ(models[2].memory, 4_GiB);
  EXPECT_EQ(models[2].waiting, 1u);
  stop.emit(boost::asio::cancellation_type::terminal);
  context_.run();
}

TEST(CacheThreads, TwoThreadsOneLoadEach) {
  boost::asio::io_context context;
  ModelCache<int> cache(context.get_executor());
  std::atomic<int> calls{0}, served{0};
  const ModelCache<int>::Factory factory = [&]() -> awaitable<int> {
    ++calls;
    co_await boost::asio::post(context, boost::asio::use_awaitable);
    co_return 1;
  };
  auto user = [&](int n) -> awaitable<void> {
    for (int i = 0; i < 20; ++i) {
      const std::string id = std::to_string((n + i) % 3);
      const auto handle = co_await cache.get_or_create(id, factory);
      served += *handle;
    }
  };
  for (int n = 0; n < 100; ++n)
    boost::asio::co_spawn(boost::asio::make_strand(context), user(n), boost::asio::detached);
  std::thread other([&] { context.run(); });
  context.run();
  other.join();
  EXPECT_EQ(calls.load(), 3);
  EXPECT_EQ(served.load(), 2000);
}

TEST(CacheEnvironment, EveryVariableIsReadStrictlyAndNamedInItsError) {
  const std::vector<test::Variable> variables{
      {"MAX_CACHED_MODELS", {"1", "100000"}, {"0", "100001", "-1", "3.5", "", " 5", "five", "5x"}},
      {"MODEL_CACHE_TTL", {"0", "315360000"}, {"-1", "315360001", "1h", "", "1e3", "nan"}},
      {"MODEL_CACHE_CHECK_INTERVAL", {"1", "86400"}, {"0", "86401", "0.5", "", "\t7"}},
      {"MODEL_CACHE_MEMORY_MB", {"1", "1000000000"}, {"0", "1000000001", "1GB", "", "+5"}},
  };
  test::expect_read_strictly(variables, [] { CacheConfig::from_environment(); });
}

TEST(CacheEnvironment, GivesWhatItSays) {
  EXPECT_EQ(CacheConfig::from_environment().models_max, 5u);
  EXPECT_EQ(CacheConfig::from_environment().ttl, std::chrono::hours{1});
  EXPECT_EQ(CacheConfig::from_environment().check_interval, std::chrono::minutes{5});
  ::setenv("MODEL_CACHE_TTL", "60", 1);
  ::setenv("MODEL_CACHE_MEMORY_MB", "2048", 1);
  EXPECT_EQ(CacheConfig::from_environment().ttl, seconds{60});
  EXPECT_EQ(CacheConfig::from_environment().memory_max, 2_GiB);
  ::unsetenv("MODEL_CACHE_TTL");
  ::unsetenv("MODEL_CACHE_MEMORY_MB");
}

// A load is under way, and a model was put in the meantime: both go.
TEST_F(ModelCacheTest, RemoveTakesTheLoadAndWhatWasPutBesideIt) {
  Cache cache = make();
  gate_ = boost::asio::steady_timer::time_point::max();
  boost::asio::co_spawn(context_, cache.get_or_create("x", factory("loaded")),
                        boost::asio::detached);
  context_.poll();
  cache.put("x", "put");
  EXPECT_TRUE(cache.remove("x"));
  EXPECT_FALSE(cache.get("x"));
  EXPECT_EQ(cache.stats().loading, 0u);
  EXPECT_EQ(cache.stats().removed, 1u);
  EXPECT_FALSE(cache.remove("x"));
}

TEST(CacheConfig, FaultsAreSentences) {
  boost::asio::io_context context;
  const auto refused = [&](auto change, const char* word) {
    CacheConfig config;
    change(config);
    try {
      ModelCache<int> cache(context.get_executor(), config);
      ADD_FAILURE() << word;
    } catch (const ConfigError& e) {
      EXPECT_THAT(e.what(), ::testing::HasSubstr(word));
    }
  };
  refused([](CacheConfig& c) { c.models_max = 0; }, "models_max is 0");
  refused([](CacheConfig& c) { c.memory_max = 0_B; }, "memory_max is 0");
  refused([](CacheConfig& c) { c.ttl = seconds{-1}; }, "ttl is -1000 ms; it must be 0 or more");
  refused([](CacheConfig& c) { c.check_interval = milliseconds{9}; }, "check_interval is 9 ms");
  refused([](CacheConfig& c) { c.clock = nullptr; }, "clock is null");
}

}  // namespace
}  // namespace reeve::cache
