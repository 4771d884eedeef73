// What counts to the budget: models that are kept, and those that somebody still holds.
#include <reeve/async/gate.hpp>
#include <reeve/cache.hpp>

#include "tests/support/pch.hpp"

namespace reeve::cache {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using Cache = ModelCache<std::string>;

ModelMetadata sized(ByteSize size) {
  ModelMetadata m;
  m.memory = size;
  return m;
}

class MemoryAccount : public ::testing::Test {
 protected:
  /// A letter is a GiB.
  static ByteSize measure(const std::string& model) { return 1_GiB * model.size(); }
  static CacheConfig config() {
    CacheConfig c;
    c.memory_max = 10_GiB;
    return c;
  }
  void load(const std::string& value, Cache::Handle& handle, ModelMetadata metadata = {}) {
    const Cache::Factory factory = [this, value]() -> awaitable<std::string> {
      co_await gate_.wait();
      co_return value;
    };
    asio::co_spawn(context_, cache_.get_or_create("m", factory, metadata),
                   [&handle](std::exception_ptr e, Cache::Handle h) {
                     EXPECT_FALSE(e);
                     handle = std::move(h);
                   });
    context_.restart();
    context_.poll();
  }
  void open() {
    gate_.open();
    context_.restart();
    context_.run();
  }

  asio::io_context context_{1};
  async::Gate gate_;
  Cache cache_{context_.get_executor(), config(), &measure};
};

TEST_F(MemoryAccount, WhatIsRemovedCountsUntilItsLastRelease) {
  cache_.put("a", "x", sized(6_GiB));
  auto first = cache_.get("a"), second = cache_.get("a");
  EXPECT_TRUE(cache_.remove("a"));
  EXPECT_EQ(cache_.stats().memory, 6_GiB);
  EXPECT_THROW(cache_.put("b", "y", sized(5_GiB)), CacheFullError);
  first.reset();
  EXPECT_EQ(cache_.stats().memory, 6_GiB);
  second.reset();
  EXPECT_EQ(cache_.stats().memory, 0_B);
  cache_.put("b", "y", sized(5_GiB));
}

TEST_F(MemoryAccount, WhatIsClearedCountsUntilItsLastRelease) {
  cache_.put("a", "x", sized(6_GiB));
  cache_.put("b", "y", sized(1_GiB));
  auto held = cache_.get("a");
  EXPECT_EQ(cache_.clear(), 2u);
  EXPECT_EQ(cache_.stats().memory, 6_GiB);
  held.reset();
  EXPECT_EQ(cache_.stats().memory, 0_B);
}

TEST_F(MemoryAccount, WhatReplacesAHeldModelMustFitBesideIt) {
  cache_.put("a", "old", sized(6_GiB));
  cache_.put("idle", "z", sized(2_GiB));
  auto held = cache_.get("a");
  EXPECT_THROW(cache_.put("a", "new", sized(5_GiB)), CacheFullError);
  EXPECT_EQ(*cache_.get("a"), "old");
  EXPECT_TRUE(cache_.get("idle"));
  cache_.put("a", "new", sized(4_GiB));
  EXPECT_EQ(*cache_.get("a"), "new");
  EXPECT_FALSE(cache_.get("idle")) << "made room";
  EXPECT_EQ(cache_.stats().memory, 10_GiB);
  held.reset();
  EXPECT_EQ(cache_.stats().memory, 4_GiB);
  cache_.put("a", "newest", sized(10_GiB));
  EXPECT_EQ(cache_.stats().memory, 10_GiB) << "nobody held what it replaced";
}

TEST_F(MemoryAccount, WhatIsRemovedWhileItLoadsCountsWhileItIsHeld) {
  Cache::Handle handle;
  load("loaded", handle, sized(6_GiB));
  EXPECT_TRUE(cache_.remove("m"));
  EXPECT_EQ(cache_.stats().memory, 6_GiB) << "reserved";
  open();
  ASSERT_TRUE(handle);
  EXPECT_EQ(cache_.stats().models, 0u);
  EXPECT_EQ(cache_.stats().memory, 6_GiB);
  handle.reset();
  EXPECT_EQ(cache_.stats().memory, 0_B);
}

TEST_F(MemoryAccount, AMeasuredModelThatDoesNotFitIsDeliveredAndNotKept) {
  cache_.put("other", "x", sized(1_GiB));
  Cache::Handle handle;
  load(std::string(11, 'x'), handle);
  open();
  ASSERT_TRUE(handle);
  EXPECT_EQ(handle->size(), 11u);
  EXPECT_FALSE(cache_.get("m"));
  EXPECT_TRUE(cache_.get("other")) << "nothing was unloaded in vain";
  EXPECT_EQ(cache_.stats().loads, 1u);
  EXPECT_EQ(cache_.stats().memory, 12_GiB) << "more than the budget, and true";
  EXPECT_THROW(cache_.put("next", "y", sized(1_GiB)), CacheFullError);
  handle.reset();
  EXPECT_EQ(cache_.stats().memory, 1_GiB);
  cache_.put("next", "y", sized(1_GiB));
}

TEST_F(MemoryAccount, PutMeasuresWhatIsNotDeclared) {
  cache_.put("a", "123");
  EXPECT_EQ(cache_.stats().memory, 3_GiB);
  cache_.put("a", "123", sized(5_GiB));
  EXPECT_EQ(cache_.stats().memory, 5_GiB) << "what is declared counts";
  EXPECT_THROW(cache_.put("b", std::string(11, 'x')), CacheFullError);
}

}  // namespace
}  // namespace reeve::cache
