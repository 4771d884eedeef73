// One service's life, whose journal has the same bytes wherever it is compiled.
#pragma once

#include "reeve/alloc/contention.hpp"
#include "reeve/alloc/elastic_pool.hpp"
#include "tests/alloc/shorthand.hpp"

namespace reeve::alloc {
/// After a change of what the verbs write, put the new hash here.
inline constexpr std::uint64_t known_journal = 3829760723108468846ULL;

struct JournalOfALife {
  std::uint64_t hash = 14695981039346656037ULL;  ///< of its text
  std::size_t entries = 0;
  bool clean = false;  ///< what the audit says at the end
};

/// A service's life: submissions by five users under changing policies, cycles, preemption,
/// scaling, resizing, windows.
inline JournalOfALife journal_of_a_life(int steps = 4000, std::size_t index_from = 8) {
  JournalOfALife result;
  ManualClock clock;
  ReservationManager manager{Dimensions::standard(), clock, {.index_from = index_from}};
  manager.set_journal([&](const JournalEntry& e) {
    for (unsigned char c : to_text(e)) result.hash = (result.hash ^ c) * 1099511628211ULL;
    ++result.entries;
  });
  auto pool = ElasticPool::create(manager, {.name = "n", .capacity = cores(40)},
                                  {.size = 2, .limits = {.size_max = 6, .cooldown = 50}})
                  .value();
  const auto root = manager.add_quota({.name = "root", .nominal = Limits::of(0, 80)}).value();
  const auto quota =
      manager.add_quota({.name = "q", .parent = root, .nominal = Limits::of(0, 20)}).value();
  ResourceAllocator allocator(manager, fifo(), {.rule = QueueRule::reserve, .depth = 2});
  ContentionDetector detector;
  Resolver resolver(allocator);
  const Policy policies[] = {fifo(),
                             Policy(PriorityPolicy({.period = 7})),
                             DrfPolicy(),
                             FairPolicy(0),
                             shortest_job_first() | best_fit(),
                             fragmentation_aware({{cores(10)}, {cores(25)}}, 0)};
  const char* users[] = {"a", "b", "c", "d", "e"};
  std::uint64_t x = 1;
  const auto draw = [&](std::uint64_t n) {
    return ((x = x * 6364136223846793005ULL + 1442695040888963407ULL) >> 33) % n;
  };
  for (int i = 0; i < steps; ++i) {
    clock.advance(std::chrono::nanoseconds(draw(5)));
    Request r{.gang = {{.amount = cores(1 + static_cast<std::int64_t>(draw(20))),
                        .least = draw(3) ? Amounts{} : cores(1)}},
              .quota = draw(3) ? QuotaId::none : quota,
              .priority = static_cast<std::int32_t>(draw(4)),
              .duration = 1 + static_cast<Time>(draw(60))};
    if (allocator.waiting().size() < 20) (void)allocator.submit(users[draw(5)], r).has_value();
    if (draw(8) == 0) allocator.set_policy(policies[draw(6)]);
    (void)allocator.schedule();
    if (draw(6) == 0)
      for (const auto& event : detector.measure(allocator))
        if (auto plan = resolver.plan(event, usual_resolution(event.severity)))
          (void)resolver.apply(*plan).has_value();
    (void)pool.step([](auto w, auto n, const auto& l) { return advise_by_threshold(w, n, {}, l); });
    const auto live = manager.live();
    for (auto id : live)
      if (manager.find(id)->overrun || draw(20) == 0)
        (void)manager.release_reservation(id).has_value();
    if (draw(50) == 0)
      (void)manager.resize_resource(pool.members()[0],
                                    cores(20 + static_cast<std::int64_t>(draw(30))));
  }
  result.clean = manager.audit().clean();
  return result;
}

}  // namespace reeve::alloc
