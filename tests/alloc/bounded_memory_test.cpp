// Nothing that ended is kept for ever: the second half of the seed's defect 12.
#include <malloc.h>

#include "reeve/alloc/metrics.hpp"
#include "tests/alloc/shorthand.hpp"
#include "tests/support/pch.hpp"

namespace reeve::alloc {
namespace {

constexpr std::size_t remembered = 1000;

// Bytes that the heap has given out; sanitizers have a heap of their own, which says 0.
std::int64_t in_use() {
  return static_cast<std::int64_t>(mallinfo2().uordblks);
}

// The same length each time, so that only numbers of things can make a difference.
std::string named(const char* what, int n) {
  std::string digits = std::to_string(100'000'000 + n);
  return what + digits;
}

// How much more there is after the second `steps` than after the first.
template <class Step>
std::int64_t growth(int steps, Step step) {
  for (int i = 0; i < steps; ++i) step(i);
  const auto before = in_use();
  for (int i = steps; i < 2 * steps; ++i) step(i);
  return in_use() - before;
}

// Every reservation has a requester, keys and a label of its own, and ends in one of four ways.
TEST(BoundedMemory, ReservationsThatEnded) {
  ManualClock clock;
  ReservationManager manager(Dimensions::standard(), clock, {.remembered = remembered});
  for (unsigned r = 0; r < 4; ++r)
    ASSERT_TRUE(manager.register_resource({.name = numbered(r), .capacity = cores(100)}));
  std::vector<ReservationId> live(16);
  std::size_t timers = 0;
  const auto more = growth(60'000, [&](int i) {
    clock.advance(std::chrono::nanoseconds(1));
    auto& old = live[static_cast<std::size_t>(i) % live.size()];
    if (i % 4 == 0) (void)manager.cancel_reservation(old, named("cancel", i));
    if (i % 4 == 1) (void)manager.release_reservation(old, {}, named("release", i));
    // i % 4 == 2: expired by now
    Request r = want(1 + i % 9, 0, i % 3 ? forever : 50);
    r.key = named("create", i);
    r.label = named("label", i);
    r.affinity = {{.label = "other", .anti = true, .hard = false}};
    if (i % 5 == 0) r.not_before = manager.now() + 3;
    const auto who = named("requester", i);
    const bool evicts = i % 4 == 3 && manager.find(old);
    const auto made =
        evicts ? manager.replace(std::span(&old, 1), who, r)
               : manager.create_reservation(who, r, Strategy::balanced, Time{i % 4 == 2 ? 14 : 20});
    ASSERT_TRUE(made) << made.refusal().why();
    old = *made;
    if (i % 4 == 2) (void)manager.extend_reservation(old, 3, named("extend", i));
    timers = std::max(timers, manager.timer_count());
  });
  EXPECT_LT(more, 64 * 1024);
  EXPECT_LE(timers, 65u + 4 * live.size());
  EXPECT_LE(manager.ledger().owners().size(), remembered + 1);
  EXPECT_LE(manager.live_count(), live.size());
  const auto audit = manager.audit();
  EXPECT_TRUE(audit.clean()) << audit.differences[0];
  EXPECT_EQ(audit.reservations, manager.live_count());
  for (auto s : {State::released, State::expired, State::cancelled, State::preempted})
    EXPECT_GT(manager.counts().reached[static_cast<std::size_t>(s)], 10'000u) << to_string(s);
}

// Who has something keeps his account, however many come and go.
TEST(BoundedMemory, ARequesterWithAReservationKeepsHisAccount) {
  ManualClock clock;
  ReservationManager manager(Dimensions::standard(), clock, {.remembered = 3});
  Ledger copy;
  manager.set_journal([&](const JournalEntry& e) { copy.replay(e); });
  ASSERT_TRUE(manager.register_resource({.name = "node", .capacity = cores(100)}));
  std::vector<ReservationId> kept;
  for (int i = 0; i < 200; ++i) {
    const auto id = manager.create_reservation(named("r", i), want(1)).value();
    if (i % 20 == 0) {
      kept.push_back(id);
    } else {
      (void)manager.release_reservation(id).value();
    }
    const auto again = manager.find_owner(named("r", i / 20 * 20)).value();
    EXPECT_EQ(manager.owner_name(again), named("r", i / 20 * 20));
  }
  EXPECT_LE(manager.ledger().owners().size(), 2 * kept.size() + 3);
  for (std::size_t k = 0; k < kept.size(); ++k) {
    const auto owner = manager.find(kept[k])->owner;
    EXPECT_EQ(manager.owner_name(owner), named("r", static_cast<int>(20 * k)));
    EXPECT_EQ(manager.live_of(owner), 1);
    EXPECT_EQ(manager.ledger().owners()[owner].held, cores(1));
  }
  EXPECT_EQ(manager.find_owner(named("r", 1)), std::nullopt);
  EXPECT_TRUE(manager.audit().clean());
  EXPECT_TRUE(copy.same_balances(manager.ledger()));
}

// The queue in front, with a metrics collector beside it: tickets, keys, evictions, waits.
TEST(BoundedMemory, TicketsThatEnded) {
  ManualClock clock;
  ReservationManager manager(Dimensions::standard(), clock, {.remembered = remembered});
  ASSERT_TRUE(manager.register_resource({.name = "node", .capacity = cores(10)}));
  ResourceAllocator allocator(manager, fifo(), {.remembered = remembered});
  MetricsCollector metrics(100);
  const auto more = growth(10'000, [&](int i) {
    clock.advance(std::chrono::nanoseconds(1));
    Request r = want(10, i % 3);
    r.key = named("key", i);
    const auto ticket = allocator.submit(named("requester", i), r).value();
    const auto running = manager.live();
    if (i % 5 == 1 && !running.empty()) {
      ASSERT_TRUE(allocator.grant_by_preemption(ticket, running));
    } else if (!running.empty()) {
      (void)manager.release_reservation(running[0]).value();
    }
    if (i % 5 == 2 && !allocator.waiting().empty()) {
      ASSERT_TRUE(allocator.withdraw(allocator.waiting()[0].ticket));
    }
    metrics.observe(allocator, allocator.schedule());
  });
  EXPECT_LT(more, 64 * 1024);
  EXPECT_LE(metrics.waits().size(), 101u);
  EXPECT_GT(metrics.waits().at("(others)").granted, 1000u);
  EXPECT_LT(allocator.waiting().size(), 10u);
}

}  // namespace
}  // namespace reeve::alloc
