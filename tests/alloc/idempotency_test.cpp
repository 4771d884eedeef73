// A key makes any verb safe to repeat.
#include "reeve/alloc/policy.hpp"
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

TEST(Idempotency, EveryArgumentThatDecidesIsPartOfTheQuestion) {
  World w;
  auto r = want(10);
  r.key = std::string("k");
  const auto id = w.manager.create_reservation("a", r, Strategy::best_fit, 1000).value();
  const auto code = [](const Result<ReservationId>& again) {
    return again ? std::nullopt : std::optional(again.refusal().code);
  };
  EXPECT_EQ(w.manager.create_reservation("a", r, Strategy::best_fit, 1000).value(), id);
  const auto other = [&](Strategy strategy, std::optional<Time> ttl) {
    return code(w.manager.create_reservation("a", r, strategy, ttl));
  };
  EXPECT_EQ(other(Strategy::worst_fit, 1000), Code::key_conflict);
  EXPECT_EQ(other(Strategy::best_fit, 1001), Code::key_conflict);
  EXPECT_EQ(other(Strategy::best_fit, std::nullopt), Code::key_conflict);
  EXPECT_EQ(other(Strategy::worst_fit, 1'000'000'000), Code::key_conflict);
  // By a rule of one's own; which one it is cannot be seen.
  const PlacementRule rule{.pick = [](std::span<const Scored>) { return std::size_t{0}; }};
  r.key = std::string("l");
  const auto by_rule = w.manager.create_reservation("a", r, rule).value();
  EXPECT_EQ(w.manager.create_reservation("a", r, rule).value(), by_rule);
  EXPECT_EQ(other(Strategy::first_fit, std::nullopt), Code::key_conflict);
  // Replacing takes the strategy and the victims into account.
  r.key = std::string("m");
  const ReservationId victims[] = {id};
  const auto next = w.manager.replace(victims, "a", r, Strategy::best_fit).value();
  EXPECT_EQ(w.manager.replace(victims, "a", r, Strategy::best_fit).value(), next);
  EXPECT_EQ(code(w.manager.replace(victims, "a", r, Strategy::worst_fit)), Code::key_conflict);
  EXPECT_EQ(code(w.manager.replace({}, "a", r, Strategy::best_fit)), Code::key_conflict);
}

TEST(Idempotency, TheIdentityForEvictionsIsNot) {
  World w;
  auto r = want(10);
  r.key = std::string("k");
  r.identity = 1;
  const auto id = w.manager.create_reservation("a", r).value();
  r.identity = 2;
  EXPECT_EQ(w.manager.create_reservation("a", r).value(), id);
}

}  // namespace
}  // namespace reeve::alloc
