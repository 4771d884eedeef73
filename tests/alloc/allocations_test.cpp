// Decisions and plans take nothing from the heap once they were under way for a while.
#include <atomic>
#include <cstdlib>
#include <new>

#include "reeve/alloc/reservation_manager.hpp"
#include "reeve/alloc/share_tree.hpp"
#include "reeve/alloc/timeline.hpp"
#include "tests/alloc/shorthand.hpp"
#include "tests/support/pch.hpp"

namespace {
std::atomic<std::int64_t> allocations{0};
}  // namespace

// Sanitizers bring operators of their own, which see more than these.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define REEVE_COUNTS_ALLOCATIONS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define REEVE_COUNTS_ALLOCATIONS 0
#endif
#endif
#ifndef REEVE_COUNTS_ALLOCATIONS
#define REEVE_COUNTS_ALLOCATIONS 1
#endif

#if REEVE_COUNTS_ALLOCATIONS
void* operator new(std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* p = std::malloc(size)) return p;
  throw std::bad_alloc();
}
void operator delete(void* p) noexcept {
  std::free(p);
}
void operator delete(void* p, std::size_t) noexcept {
  std::free(p);
}
#endif

namespace reeve::alloc {
namespace {

class Draw {
 public:
  std::size_t operator()(std::size_t n) {
    return ((x_ = x_ * 6364136223846793005ULL + 1442695040888963407ULL) >> 33) % n;
  }

 private:
  std::uint64_t x_ = 5;
};

// How often the heap was asked during the second half of `steps`.
template <class Step>
std::int64_t in_the_long_run(int steps, Step step) {
  for (int i = 0; i < steps; ++i) step();
  const auto before = allocations.load();
  for (int i = 0; i < steps; ++i) step();
  return allocations.load() - before;
}

std::int64_t of_decisions(Strategy strategy) {
  ManualClock clock;
  ReservationManager manager(Dimensions::standard(), clock);
  Draw draw;
  for (int n = 0; n < 40; ++n) {
    Amounts capacity = cores(64);
    capacity[1] = 256;
    EXPECT_TRUE(manager.register_resource({.name = numbered(static_cast<unsigned>(n)),
                                           .capacity = capacity,
                                           .capabilities = {{"class", std::int64_t{n % 5}}}}));
  }
  std::vector<Request> requests;
  for (int i = 0; i < 64; ++i) {
    requests.push_back(want(static_cast<std::int64_t>(1 + draw(16))));
    requests.back().gang[0].amount[1] = static_cast<std::int64_t>(1 + draw(64));
    requests.back().gang[0].count = 1 + (i % 8 == 0);
    requests.back().gang[0].where = {needs("class", std::int64_t{i % 4})};
  }
  std::vector<ReservationId> live;
  live.reserve(1000);
  return in_the_long_run(100'000, [&] {
    clock.advance(std::chrono::nanoseconds(1));
    const auto id = manager.create_reservation("requester", requests[draw(64)], strategy);
    if (id) live.push_back(*id);  // else refused as busy
    if (id && draw(2)) (void)manager.confirm_reservation(*id).has_value();
    if (!id || live.size() > 250) {
      auto& old = live[draw(live.size())];
      (void)manager.release_reservation(old).has_value();
      old = live.back();
      live.pop_back();
    }
  });
}

TEST(Allocations, DecisionsTakeNothingFromTheHeap) {
  if (!REEVE_COUNTS_ALLOCATIONS) GTEST_SKIP() << "sanitizers have operators of their own";
  for (auto strategy :
       {Strategy::first_fit, Strategy::best_fit, Strategy::worst_fit, Strategy::balanced,
        Strategy::optimized, Strategy::greedy, Strategy::priority})
    EXPECT_EQ(of_decisions(strategy), 0) << static_cast<int>(strategy);
}

TEST(Allocations, PlansTakeNothingFromTheHeap) {
  if (!REEVE_COUNTS_ALLOCATIONS) GTEST_SKIP() << "sanitizers have operators of their own";
  Timeline timeline(100);
  Draw draw;
  std::vector<SpanId> spans;
  spans.reserve(3000);
  const auto place = [&] {
    const auto length = static_cast<Time>(1 + draw(50));
    const auto amount = static_cast<std::int64_t>(1 + draw(60));
    const auto at = timeline.earliest_fit(0, length, amount).value();
    return timeline.add(at, at + length, amount).value();
  };
  for (int i = 0; i < 2000; ++i) spans.push_back(place());
  const auto asked = in_the_long_run(50'000, [&] {
    auto& span = spans[draw(spans.size())];
    ASSERT_TRUE(timeline.remove(span));
    span = place();
  });
  EXPECT_EQ(asked, 0);
}

TEST(Allocations, SharesTakeNothingFromTheHeap) {
  if (!REEVE_COUNTS_ALLOCATIONS) GTEST_SKIP() << "sanitizers have operators of their own";
  ShareTree tree(cores(1'000'000));
  std::vector<ShareId> users;
  for (int u = 0; u < 100; ++u) users.push_back(tree.add().value());
  for (auto u : users) tree.set_active(u, true);
  EXPECT_EQ(in_the_long_run(1000, [&] { tree.charge(*tree.next(), cores(1)); }), 0);
}

}  // namespace
}  // namespace reeve::alloc
