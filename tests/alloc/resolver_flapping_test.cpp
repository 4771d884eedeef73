// Resolution by preemption under fair share: evictions end, and nobody evicts whom evicted it.
#include "reeve/alloc/contention.hpp"
#include "tests/alloc/shorthand.hpp"
#include "tests/support/pch.hpp"

namespace reeve::alloc {
namespace {

// Sixteen requests of five queues that together want more than there is. In each round everybody
// who waits is a beneficiary once, and a cycle fills what was left over.
struct Struggle {
  explicit Struggle(std::uint64_t seed, bool nested) : x_(seed * 7919 + 17) {
    for (int n = 0; n < 2; ++n)
      (void)manager
          .register_resource(
              {.name = numbered(static_cast<unsigned>(n)), .capacity = cores(draw(10, 40))})
          .value();
    std::vector<QuotaId> groups{manager.add_quota({.name = "root"}).value()};
    for (unsigned g = 0; nested && g < 3; ++g)
      groups.push_back(
          manager
              .add_quota({.name = numbered(g).append("g"),
                          .parent = groups[static_cast<std::size_t>(draw(0, static_cast<int>(g)))],
                          .nominal = Limits::of(0, draw(0, 5))})
              .value());
    std::vector<QuotaId> leaves;
    for (unsigned l = 0; l < 5; ++l)
      leaves.push_back(
          manager
              .add_quota(
                  {.name = numbered(l),
                   .parent = groups[static_cast<std::size_t>(draw(0, int(groups.size()) - 1))],
                   .nominal = Limits::of(0, draw(0, 12)),
                   .borrow = draw(0, 2) ? Limits{} : Limits::of(0, draw(0, 20))})
              .value());
    for (int i = 0; i < 16; ++i)
      (void)allocator
          .submit(numbered(static_cast<unsigned>(i)),
                  {.gang = {{.amount = cores(draw(1, 12))}},
                   .quota = leaves[static_cast<std::size_t>(draw(0, 4))],
                   .priority = draw(0, 1)})
          .has_value();
  }

  // False when it went on for ever or somebody took revenge.
  bool comes_to_rest() {
    grant(allocator.schedule().granted);
    for (bool moved = true; moved;) {
      moved = false;
      for (const auto& entry : std::vector(allocator.waiting())) {
        if (!allocator.find(entry.ticket)) continue;
        const Contention event{.id = 1, .waiting = {entry.ticket}};
        const auto plan = resolver.plan(event, Resolution::preempt);
        if (!plan) continue;
        if (++evictions > 2000) return false;
        for (auto victim : plan->victims) {
          const auto loser = ticket_of.at(victim);
          if (evicted.contains({loser, entry.ticket})) return false;
          evicted.emplace(entry.ticket, loser);
        }
        grant(resolver.apply(*plan).value().granted);
        grant(allocator.schedule().granted);
        moved = true;
      }
    }
    return manager.audit().clean();
  }

  int evictions = 0;

 private:
  int draw(int low, int high) {
    x_ = x_ * 6364136223846793005ULL + 1442695040888963407ULL;
    return low + static_cast<int>((x_ >> 33) % static_cast<std::uint64_t>(high - low + 1));
  }
  void grant(const std::vector<CycleReport::Grant>& grants) {
    for (const auto& g : grants) ticket_of[g.reservation] = g.ticket;
  }

  std::uint64_t x_;
  ManualClock clock;
  ReservationManager manager{Dimensions::standard(), clock};
  ResourceAllocator allocator{manager};
  Resolver resolver{allocator, {.preemption = {.lower_priority = true, .fair_share = true}}};
  std::map<ReservationId, Ticket> ticket_of;
  std::set<std::pair<Ticket, Ticket>> evicted;  // (by, whom)
};

void all_come_to_rest(bool nested) {
  int restless = 0;
  int evictions = 0;
  for (std::uint64_t seed = 0; seed < 1000; ++seed) {
    Struggle struggle(seed, nested);
    restless += !struggle.comes_to_rest();
    evictions += struggle.evictions;
  }
  EXPECT_EQ(restless, 0) << "of 1000 runs";
  EXPECT_GT(evictions, 1000) << "the runs have something to resolve";
}

TEST(ResolverProperty, FairShareNeverFlapsInFlatQueues) {
  all_come_to_rest(false);
}
TEST(ResolverProperty, FairShareNeverFlapsInAHierarchy) {
  all_come_to_rest(true);
}

}  // namespace
}  // namespace reeve::alloc
