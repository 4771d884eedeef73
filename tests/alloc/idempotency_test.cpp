// A key makes any verb safe to repeat.
#include "reeve/alloc/reservation_manager.hpp"
#include "tests/alloc/shorthand.hpp"
#include "tests/support/pch.hpp"

namespace reeve::alloc {
namespace {

struct World {
  World() {
    manager.set_journal([this](const JournalEntry& e) { journal.push_back(e); });
    EXPECT_TRUE(manager.register_resource({.name = "node", .capacity = cores(100)}));
  }
  Amounts free() const { return manager.ledger().resources()[0].free(); }
  ManualClock clock;
  std::vector<JournalEntry> journal;
  ReservationManager manager{Dimensions::standard(), clock};
};

TEST(Idempotency, EveryVerbTakesAKey) {
  World w;
  auto r = want(60);
  r.gang[0].least = cores(40);
  r.duration = 1000;
  const auto id = w.manager.create_reservation("a", r).value();
  const auto once = [&](auto verb) {
    const auto first = verb();
    EXPECT_TRUE(first);
    const auto length = w.journal.size();
    EXPECT_TRUE(verb());
    EXPECT_EQ(w.journal.size(), length);
    return first;
  };
  const Line part[] = {{ResourceId{0}, cores(10)}};
  (void)once([&] { return w.manager.extend_reservation(id, 50, "k1"); });
  (void)once([&] { return w.manager.confirm_reservation(id, "k2"); });
  (void)once([&] { return w.manager.extend_reservation(id, 50, "k3"); });
  EXPECT_EQ(w.manager.find(id)->end - w.manager.find(id)->start, 1050);
  EXPECT_EQ(once([&] { return w.manager.release_reservation(id, part, "k4"); }).value(),
            ReleaseOutcome::partly_released);
  EXPECT_EQ(w.free(), cores(50));
  EXPECT_EQ(once([&] { return w.manager.shrink_to_least(id, "k5"); }).value(), cores(10));
  EXPECT_EQ(w.manager.release_reservation(id, {}, "k4").refusal().code, Code::key_conflict);
  const ReservationId victims[] = {id};
  auto other = want(90);
  other.key = "k6";
  const auto next = once([&] { return w.manager.replace(victims, "b", other); }).value();
  EXPECT_EQ(w.manager.create_reservation("b", other).refusal().code, Code::key_conflict);
  (void)once([&] { return w.manager.cancel_reservation(next, "k7"); });
  EXPECT_EQ(w.free(), cores(100));
  // A refusal is no answer: the same key may succeed later.
  EXPECT_FALSE(w.manager.confirm_reservation({99, 0}, "k8"));
  EXPECT_TRUE(w.manager.create_reservation("a", want(1)));
}

}  // namespace
}  // namespace reeve::alloc
