// One load for any number of callers: failures, cancellation and teardown at every step, two
// threads, recursion.
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/strand.hpp>
#include <reeve/async/gate.hpp>
#include <reeve/cache.hpp>

#include "tests/support/pch.hpp"
#include "tests/support/run.hpp"

namespace reeve::cache {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using Cache = ModelCache<std::string>;

constexpr int many = 100'000;

/// A factory that waits at a gate, counts its calls and how many of them run at a time.
struct Factory {
  Cache::Factory operator()() {
    return [this] { return make(); };
  }
  awaitable<std::string> make() {
    ++calls;
    most = std::max(most, ++running);
    const std::shared_ptr<void> leave(nullptr, [this](void*) { --running; });
    co_await gate.wait();
    if (fail) throw std::runtime_error("no such model");
    co_return "model";
  }

  async::Gate gate;
  std::atomic<int> calls{0};
  int running = 0, most = 0;
  bool fail = false;
};

struct Tally {
  auto handler() {
    return [this](std::exception_ptr e, Cache::Handle h) {
      ++(e ? failed : served);
      if (e && !failure) failure = e;
      EXPECT_EQ(e == nullptr, h != nullptr);
    };
  }
  std::atomic<int> served{0}, failed{0};
  std::exception_ptr failure;
};

class SingleFlight : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Ends, SingleFlight, ::testing::Values(false, true),
                         [](const auto& i) { return i.param ? "Failing" : "Succeeding"; });

TEST_P(SingleFlight, AHundredThousandWaitersOneCall) {
  asio::io_context context(1);
  Cache cache(context.get_executor());
  Factory factory;
  factory.fail = GetParam();
  Tally tally;
  for (int i = 0; i < many; ++i)
    asio::co_spawn(context, cache.get_or_create("m", factory()), tally.handler());
  context.poll();
  EXPECT_EQ(cache.stats().waiting, static_cast<std::size_t>(many));
  factory.gate.open();
  context.run();
  EXPECT_EQ(factory.calls, 1);
  EXPECT_EQ(tally.served, GetParam() ? 0 : many);
  EXPECT_EQ(tally.failed, GetParam() ? many : 0);
  if (GetParam()) {
    EXPECT_THROW(std::rethrow_exception(tally.failure), std::runtime_error);
  }
  EXPECT_EQ(cache.stats().pinned, 0u);
}

TEST_P(SingleFlight, AHundredThousandWaitersOnTwoThreadsOneCall) {
  asio::io_context context(2);
  Cache cache(context.get_executor());
  Factory factory;
  factory.fail = GetParam();
  std::atomic<int> served{0}, failed{0};
  const auto caller = [&](std::exception_ptr e, Cache::Handle) { ++(e ? failed : served); };
  auto opener = [&]() -> awaitable<void> {
    while (cache.stats().waiting != static_cast<std::size_t>(many))
      co_await asio::post(asio::use_awaitable);
    factory.gate.open();
  };
  for (int i = 0; i < many; ++i)
    asio::co_spawn(asio::make_strand(context), cache.get_or_create("m", factory()), caller);
  asio::co_spawn(context, opener(), asio::detached);
  std::thread other([&] { context.run(); });
  context.run();
  other.join();
  EXPECT_EQ(factory.calls, 1);
  EXPECT_EQ(served, GetParam() ? 0 : many);
  EXPECT_EQ(failed, GetParam() ? many : 0);
}

TEST_P(SingleFlight, TwoThreadsWithCallersThatAreCancelledAtRandom) {
  for (int round = 0; round < 50; ++round) {
    asio::io_context context(2);
    Cache cache(context.get_executor());
    Factory factory;
    factory.fail = GetParam();
    std::atomic<int> ended{0};
    struct Caller {
      explicit Caller(asio::io_context& c) : strand(asio::make_strand(c)) {}
      asio::strand<asio::io_context::executor_type> strand;
      asio::cancellation_signal signal;
    };
    std::vector<std::unique_ptr<Caller>> callers;
    for (int i = 0; i < 40; ++i) {
      auto& caller = *callers.emplace_back(std::make_unique<Caller>(context));
      asio::co_spawn(
          caller.strand, cache.get_or_create("m", factory()),
          asio::bind_cancellation_slot(caller.signal.slot(),
                                       [&ended](std::exception_ptr, Cache::Handle) { ++ended; }));
      if (i % 3 != 1)
        asio::post(caller.strand,
                   [&caller] { caller.signal.emit(asio::cancellation_type::terminal); });
    }
    asio::post(context, [&factory] { factory.gate.open(); });
    std::thread other([&] { context.run(); });
    context.run();
    other.join();
    EXPECT_EQ(ended, 40);
    EXPECT_EQ(cache.stats().loading, 0u);
    EXPECT_EQ(cache.stats().pinned, 0u);
  }
}

TEST_P(SingleFlight, FirstCallerCancelledAfterEveryStepCostsNobody) {
  bool cancelled_one = false, outran_one = false;
  for (int steps = test::first_cancellable_step; steps < 24; ++steps) {
    asio::io_context context(1);
    Cache cache(context.get_executor());
    Factory factory;
    factory.fail = GetParam();
    Tally first, others;
    asio::cancellation_signal signal;
    asio::co_spawn(context, cache.get_or_create("m", factory()),
                   asio::bind_cancellation_slot(signal.slot(), first.handler()));
    for (int i = 0; i < 2; ++i)
      asio::co_spawn(context, cache.get_or_create("m", factory()), others.handler());
    asio::post(context, [&factory] { factory.gate.open(); });
    for (int i = 0; i < steps; ++i) context.poll_one();
    signal.emit(asio::cancellation_type::terminal);
    context.restart();
    context.run();
    EXPECT_EQ(others.served, GetParam() ? 0 : 2) << "after " << steps << " steps";
    EXPECT_EQ(first.served + first.failed, 1) << "after " << steps << " steps";
    EXPECT_EQ(factory.calls, 1) << "after " << steps << " steps";
    EXPECT_EQ(cache.stats().loading, 0u);
    EXPECT_EQ(cache.stats().pinned, 0u);
    const auto aborted = [&] {
      try {
        if (first.failure) std::rethrow_exception(first.failure);
      } catch (const boost::system::system_error&) {
        return true;
      } catch (const std::runtime_error&) {
      }
      return false;
    }();
    (aborted ? cancelled_one : outran_one) = true;
  }
  EXPECT_TRUE(cancelled_one && outran_one) << "the steps must reach both sides of the end";
}

TEST_P(SingleFlight, TornDownAfterEveryStepGivesEverythingBack) {
  for (int steps = 0; steps < 24; ++steps) {
    Factory factory;
    factory.fail = GetParam();
    std::optional<Cache> cache;
    {
      asio::io_context context(1);
      cache.emplace(context.get_executor());
      ModelMetadata metadata;
      metadata.memory = 1_GiB;
      for (int i = 0; i < 3; ++i)
        asio::co_spawn(context, cache->get_or_create("m", factory(), metadata), asio::detached);
      asio::post(context, [&factory] { factory.gate.open(); });
      for (int i = 0; i < steps; ++i) context.poll_one();
    }
    cache->clear();
    EXPECT_EQ(cache->stats().memory, 0_B) << "after " << steps << " steps";
    EXPECT_EQ(cache->stats().loading, 0u) << "after " << steps << " steps";
    EXPECT_EQ(cache->stats().waiting, 0u) << "after " << steps << " steps";
    EXPECT_EQ(factory.running, 0) << "after " << steps << " steps";
  }
}

class FlightRules : public ::testing::Test {
 protected:
  /// Runs one get_or_create to its end.
  Cache::Handle obtain(const std::string& id, const Cache::Factory& factory) {
    Cache::Handle handle;
    std::exception_ptr failure;
    asio::co_spawn(context_, cache_.get_or_create(id, factory),
                   [&](std::exception_ptr e, Cache::Handle h) {
                     failure = e;
                     handle = std::move(h);
                   });
    context_.restart();
    context_.run();
    if (failure) std::rethrow_exception(failure);
    return handle;
  }
  /// A factory of `id` that needs the models `needs[id]` first.
  Cache::Factory factory_of(const std::string& id) {
    return [this, id] { return load(id); };
  }
  awaitable<std::string> load(std::string id) {
    ++calls_[id];
    for (const std::string& inner : needs_[id]) {
      const auto handle = co_await cache_.get_or_create(inner, factory_of(inner));
      EXPECT_EQ(*handle, inner);
    }
    co_return id;
  }

  asio::io_context context_{1};
  Cache cache_{context_.get_executor()};
  std::map<std::string, std::vector<std::string>> needs_;
  std::map<std::string, int> calls_;
};

TEST_F(FlightRules, ALoadThatAsksForItselfIsAnError) {
  needs_["a"] = {"a"};
  EXPECT_THROW(obtain("a", factory_of("a")), CacheDeadlockError);
  needs_["a"] = {"b"};
  needs_["b"] = {"c"};
  needs_["c"] = {"a"};
  EXPECT_THROW(obtain("a", factory_of("a")), CacheDeadlockError);
  EXPECT_EQ(cache_.stats().loading, 0u);
  EXPECT_EQ(cache_.stats().models, 0u);
}

TEST_F(FlightRules, LoadsMayShareWhatTheyNeed) {
  needs_["top"] = {"left", "right"};
  needs_["left"] = needs_["right"] = {"base"};
  EXPECT_EQ(*obtain("top", factory_of("top")), "top");
  for (const char* id : {"top", "left", "right", "base"}) EXPECT_EQ(calls_[id], 1) << id;
}

TEST_F(FlightRules, ARemovedLoadStopsWhenItsLastCallerLeaves) {
  Factory factory;
  asio::cancellation_signal signal;
  asio::co_spawn(
      context_, cache_.get_or_create("m", factory()),
      asio::bind_cancellation_slot(signal.slot(), [](std::exception_ptr, Cache::Handle) {}));
  context_.poll();
  EXPECT_TRUE(cache_.remove("m"));
  EXPECT_EQ(factory.running, 1);
  signal.emit(asio::cancellation_type::terminal);
  context_.restart();
  context_.run();
  EXPECT_EQ(factory.running, 0);
}

TEST_F(FlightRules, WhatIsPutDuringALoadStays) {
  Factory factory;
  Tally tally;
  asio::co_spawn(context_, cache_.get_or_create("m", factory()), tally.handler());
  context_.poll();
  ModelMetadata metadata;
  metadata.memory = 7_MiB;
  cache_.put("m", "newer", metadata);
  factory.gate.open();
  context_.restart();
  context_.run();
  EXPECT_EQ(tally.served, 1);
  EXPECT_EQ(*cache_.get("m"), "newer");
  EXPECT_EQ(cache_.stats().memory, 7_MiB);
}

TEST_F(FlightRules, AFactoryThatThrowsBeforeItsFirstStepIsAFailedLoad) {
  const Cache::Factory broken = []() -> awaitable<std::string> {
    throw std::out_of_range("at once");
  };
  EXPECT_THROW(obtain("m", broken), std::out_of_range);
  EXPECT_EQ(cache_.stats().failures, 1u);
  EXPECT_EQ(cache_.stats().loading, 0u);
}

}  // namespace
}  // namespace reeve::cache
