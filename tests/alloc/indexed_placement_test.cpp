// Placement through the index against a look at every resource: equal answers and equal journals.
#include "alloc/candidate_index.hpp"
#include "reeve/alloc/reservation_manager.hpp"
#include "tests/support/pch.hpp"

namespace reeve::alloc {
namespace {

class Draw {
 public:
  explicit Draw(std::uint64_t seed) : x_(seed * 2 + 1) {}
  std::int64_t operator()(std::int64_t low, std::int64_t high) {
    x_ = x_ * 6364136223846793005ULL + 1442695040888963407ULL;
    return low + static_cast<std::int64_t>((x_ >> 33) % static_cast<std::uint64_t>(high - low + 1));
  }

 private:
  std::uint64_t x_;
};

// The same verbs on two managers: one that always asks the index and one that never does.
class Twins {
  struct Side {
    Side(const Clock& clock, std::size_t index_from)
        : manager(Dimensions::standard(), clock, {.ttl = 100, .index_from = index_from}) {
      manager.set_journal([this](const JournalEntry& e) { journal.push_back(to_text(e)); });
    }
    ReservationManager manager;
    std::vector<std::string> journal;
  };

  template <class Verb>
  auto both(Verb verb) {
    auto a = verb(indexed_.manager);
    auto b = verb(looking_.manager);
    EXPECT_EQ(a.has_value(), b.has_value());
    if (!a && !b) {
      EXPECT_EQ(a.refusal(), b.refusal()) << a.refusal().why() << b.refusal().why();
    }
    if constexpr (requires { *a == *b; }) {
      EXPECT_TRUE(!a || !b || *a == *b);
    }
    return a;
  }

 public:
  Twins(std::uint64_t seed, int resources, int classes) : draw_(seed), classes_(classes) {
    scale_ = draw_(0, 1) ? 1 : 977;  // odd amounts: every score is rounded
    for (int r = 0; r < resources; ++r) register_one();
    quota_ = both([&](auto& m) {
               return m.add_quota({.name = "q", .nominal = Limits::of(0, 40 * scale_ * resources)});
             }).value();
  }

  void step() {  // tidy: one table of verbs
    switch (draw_(0, 15)) {
      case 0:
        clock_.advance(std::chrono::nanoseconds(draw_(1, 20)));
        break;
      case 1:
        (void)both([id = pick()](auto& m) { return m.confirm_reservation(id); }).has_value();
        break;
      case 2:
      case 3:
      case 4:
        (void)both([id = pick()](auto& m) { return m.release_reservation(id); }).has_value();
        break;
      case 5:
        shrink();
        break;
      case 6:
        change_resource();
        break;
      case 7: {
        const auto r = request();
        const auto how = strategy();
        (void)both([&](auto& m) { return m.plan(r, how); }).has_value();
        break;
      }
      case 8: {
        const auto r = request();
        const auto how = strategy();
        const std::vector<ReservationId> victims{pick()};
        const auto made = both([&](auto& m) { return m.replace(victims, "v", r, how); });
        if (made) ids_.push_back(*made);
        break;
      }
      default: {
        const auto r = request();
        const auto how = strategy();
        const auto ttl = draw_(1, 200);
        const auto made = both([&](auto& m) { return m.create_reservation("o", r, how, ttl); });
        if (made) ids_.push_back(*made);
        granted += made.has_value();
        refused += !made && made.refusal().code != Code::invalid_request;
      }
    }
    if (ids_.size() > 3 * indexed_.manager.resource_count() + 8) ids_.erase(ids_.begin());
    ASSERT_EQ(indexed_.journal, looking_.journal);
    indexed_.journal.clear();
    looking_.journal.clear();
  }
  void finish() const {
    EXPECT_TRUE(indexed_.manager.audit().clean());
    EXPECT_TRUE(indexed_.manager.ledger().same_balances(looking_.manager.ledger()));
  }

  int granted = 0;
  int refused = 0;

 private:
  Amounts amounts(std::int64_t most) {
    Amounts a;
    a[0] = scale_ * draw_(0, most);
    a[1] = scale_ * draw_(0, most / 2);
    if (draw_(0, 5) == 0) a[4] = draw_(0, most / 4);
    if (a.is_zero()) a[0] = scale_;
    return a;
  }

  void register_one() {
    Amounts capacity = draw_(0, 2) ? Amounts::of(0, 24 * scale_) : amounts(48);
    if (capacity[1] == 0) capacity[1] = 12 * scale_;
    capacity[4] = draw_(0, 3);
    const auto number = draw_(0, classes_ - 1);
    const auto name = numbered(static_cast<std::uint64_t>(registered_++));
    (void)both([&](auto& m) {
      return m.register_resource({.name = name,
                                  .capacity = capacity,
                                  .capabilities = {{"number", number}, {"even", number % 2 == 0}}});
    }).has_value();
  }

  void change_resource() {
    const auto at = static_cast<ResourceId>(
        draw_(0, static_cast<std::int64_t>(indexed_.manager.resource_count()) - 1));
    switch (draw_(0, 5)) {
      case 0:
        return register_one();
      case 1: {
        const auto capacity = amounts(50);
        (void)both([&](auto& m) { return m.resize_resource(at, capacity); }).has_value();
        break;
      }
      case 2:
        (void)both([&](auto& m) { return m.drain_resource(at); }).has_value();
        break;
      case 3:
        (void)both([&](auto& m) { return m.remove_resource(at); }).has_value();
        break;
      default:
        (void)both([&](auto& m) { return m.resume_resource(at); }).has_value();
    }
  }

  void shrink() {
    const auto id = pick();
    if (draw_(0, 1)) {
      (void)both([&](auto& m) { return m.shrink_to_least(id); }).has_value();
      return;
    }
    const auto* live = indexed_.manager.find(id);
    if (!live) return;
    const Line part[] = {{live->lines[0].resource, Amounts::of(0, scale_)}};
    (void)both([&](auto& m) { return m.release_reservation(id, part); }).has_value();
  }

  Strategy strategy() { return static_cast<Strategy>(draw_(0, 7)); }
  ReservationId pick() {
    return ids_.empty() ? ReservationId{}
                        : ids_[static_cast<std::size_t>(draw_(0, std::ssize(ids_) - 1))];
  }

  Request request() {
    Request r;
    for (auto demands = draw_(0, 3) ? 1 : draw_(1, 3); demands > 0; --demands) {
      Demand d{.amount = amounts(16), .count = draw_(0, 3) ? 1 : std::int32_t(draw_(1, 4))};
      if (draw_(0, 3) == 0) d.where.push_back(needs("number", draw_(0, classes_)));
      if (draw_(0, 5) == 0) d.where.push_back(needs("even", true));
      if (draw_(0, 3) == 0)
        for (auto n = draw_(1, 3); n > 0; --n)
          d.preferred.push_back(static_cast<ResourceId>(
              draw_(0, static_cast<std::int64_t>(indexed_.manager.resource_count()) - 1)));
      if (draw_(0, 4) == 0)
        for (DimId dim = 0; dim < max_dims; ++dim) d.least[dim] = d.amount[dim] / 2;
      r.gang.push_back(std::move(d));
    }
    if (draw_(0, 2) == 0) r.spread = static_cast<Spread>(draw_(0, 4));
    if (draw_(0, 7) == 0) r.spread_domain = "number";
    if (draw_(0, 1)) r.quota = quota_;
    if (draw_(0, 3) == 0) r.duration = draw_(1, 90);
    if (draw_(0, 9) == 0) r.not_before = indexed_.manager.now() + draw_(0, 60);
    if (draw_(0, 9) == 0) r.label = "l";
    if (draw_(0, 19) == 0) r.affinity = {{.label = "l", .anti = true}};
    return r;
  }

  Draw draw_;
  std::int64_t classes_;
  std::int64_t scale_ = 1;
  std::int64_t registered_ = 0;
  ManualClock clock_;
  Side indexed_{clock_, 0};
  Side looking_{clock_, SIZE_MAX};
  QuotaId quota_{};
  std::vector<ReservationId> ids_;
};

/// Of many runs: a large cluster with few classes refuses little, a small one much.
struct Answers {
  std::int64_t steps = 0;
  std::int64_t granted = 0;
  std::int64_t refused = 0;

  void expect_both_kinds() const {
    EXPECT_GT(granted, steps / 10);
    EXPECT_GT(refused, steps / 50);
  }
};

void compare(std::uint64_t seed, int resources, int classes, int steps, Answers* all = nullptr) {
  Twins twins(seed, resources, classes);
  for (int i = 0; i < steps && !testing::Test::HasFailure(); ++i) twins.step();
  twins.finish();
  if (all == nullptr) return;
  all->steps += steps;
  all->granted += twins.granted;
  all->refused += twins.refused;
  EXPECT_GT(twins.granted, steps / 10);
  EXPECT_GT(twins.refused, 0);
}

// A tree that nobody searches any more does not keep the log for ever, and is right when asked.
TEST(IndexedPlacement, TheLogIsBounded) {
  std::vector<Ledger::Account> accounts(3, {.capacity = Amounts::of(0, 10)});
  const std::vector<Amounts> overlay(3);
  const std::vector<std::uint32_t> class_of(3, 0);
  const Amounts largest = Amounts::of(0, 10);
  const detail::ClusterView view{accounts, overlay, class_of, largest};
  detail::CandidateIndex index;
  const auto emptiest = [&] {
    return index.tree(detail::CandidateIndex::Order::room, 1, view)
        ->first({Amounts::of(0, 1)}, {}, [](std::uint32_t) { return true; });
  };
  EXPECT_EQ(emptiest(), 0u);
  for (int i = 0; i < 100'000; ++i) {
    const auto r = static_cast<std::uint32_t>(i % 3);
    accounts[r].balance.held = Amounts::of(0, r == 2 ? 1 : 5);
    index.changed(r);
    ASSERT_LE(index.logged(), 5'000u);
  }
  EXPECT_EQ(emptiest(), 2u);
}

RC_GTEST_PROP(IndexedPlacementProperty, AnswersAsALookAtEachDoes, (std::uint64_t seed)) {
  compare(seed, 1 + static_cast<int>(seed % 9), 3, 150);
  RC_ASSERT(!testing::Test::HasFailure());
}

TEST(IndexedPlacementProperty, AnswersAsALookAtEachDoesInLargerClusters) {
  Answers answers;
  for (std::uint64_t seed = 0; seed < 8 && !HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    compare(seed, 40 + static_cast<int>(seed) * 60, seed % 2 ? 100 : 4, 2500, &answers);
  }
  answers.expect_both_kinds();
}

TEST(IndexedPlacementFull, AnswersAsALookAtEachDoesInManyClusters) {
  Answers answers;
  for (std::uint64_t seed = 100; seed < 250 && !HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    compare(seed, 5 + static_cast<int>(seed % 37) * 20, 1 + static_cast<int>(seed % 80), 4000,
            &answers);
  }
  answers.expect_both_kinds();
}

}  // namespace
}  // namespace reeve::alloc
