// Each invariant of a trail has a trail that breaks it; a simulated pool never does.
#include <reeve/audit/verify.hpp>

namespace reeve::audit {
namespace {

using ::testing::HasSubstr;

class Trail {
 public:
  Trail& add(EventKind kind, std::uint64_t lease, std::uint32_t worker = no_worker,
             std::uint32_t incarnation = 0, Cause cause = Cause::none) {
    Event event;
    event.sequence = events.size() + 1;
    event.monotonic_ns = static_cast<std::int64_t>(10 * event.sequence);
    event.kind = kind;
    event.lease = lease;
    event.worker = worker;
    event.incarnation = incarnation;
    event.cause = cause;
    events.push_back(event);
    return *this;
  }
  Trail& spawn(std::uint32_t w, std::uint32_t i = 1) { return add(EventKind::spawn, 0, w, i); }
  Trail& kill(std::uint32_t w, std::uint32_t i = 1) { return add(EventKind::kill, 0, w, i); }
  Trail& death(std::uint32_t w, std::uint32_t i = 1) { return add(EventKind::death, 0, w, i); }
  Trail& acquire(std::uint64_t l) { return add(EventKind::acquire, l); }
  Trail& grant(std::uint64_t l, std::uint32_t w, std::uint32_t i = 1) {
    return add(EventKind::grant, l, w, i);
  }
  Trail& release(std::uint64_t l, std::uint32_t w = no_worker, std::uint32_t i = 0) {
    return add(EventKind::release, l, w, i, Cause::done);
  }
  Trail& revoke(std::uint64_t l, std::uint32_t w = no_worker, std::uint32_t i = 0) {
    return add(EventKind::revoke, l, w, i, Cause::timeout);
  }
  Report report(VerifyOptions options = {}) const { return verify(events, options); }
  std::vector<Event> events;
};

void expect_fault(const Trail& trail, const char* text, VerifyOptions options = {}) {
  const Report report = trail.report(options);
  EXPECT_FALSE(report.ok());
  EXPECT_THAT(report.text(), HasSubstr(text));
}

TEST(AuditVerify, AcceptsALifeOfAPool) {
  Trail t;
  t.spawn(0).acquire(1).acquire(2).grant(1, 0).release(1, 0, 1).grant(2, 0);
  t.kill(0).spawn(0, 2).revoke(2, 0, 1).death(0).acquire(3).grant(3, 0, 2);
  Report report = t.report();
  EXPECT_TRUE(report.ok()) << report.text();
  EXPECT_EQ(report.active_leases, 1u);
  EXPECT_EQ(report.live_workers, 1u);
  EXPECT_EQ(report.count(EventKind::acquire), 3u);
  t.release(3).add(EventKind::shutdown, 0).kill(0, 2).death(0, 2);
  report = t.report({.complete = true});
  EXPECT_TRUE(report.ok()) << report.text();
  EXPECT_THAT(report.text(), HasSubstr("ok: 3 acquires = 2 releases + 1 revokes + 0 active"));
}

TEST(AuditVerify, SeesGapsAndTimeRunningBack) {
  Trail gap;
  gap.acquire(1).acquire(2);
  gap.events[1].sequence = 3;
  expect_fault(gap, "2 was expected here");
  Trail late;
  late.acquire(1);
  late.events[0].sequence = 5;
  expect_fault(late, "1 was expected here");
  EXPECT_TRUE(late.report({.from_start = false}).ok());
  Trail back;
  back.acquire(1).acquire(2);
  back.events[1].monotonic_ns = 3;
  expect_fault(back, "time runs back by 7 ns");
}

TEST(AuditVerify, SeesBrokenLeases) {
  expect_fault(Trail().acquire(1).acquire(1), "lease 1 was acquired before");
  expect_fault(Trail().acquire(0), "without a lease id");
  expect_fault(Trail().spawn(0).grant(1, 0), "lease 1 was never acquired");
  expect_fault(Trail().release(1), "lease 1 was never acquired");
  expect_fault(Trail().acquire(1).release(1).revoke(1), "lease 1 has ended before");
  expect_fault(Trail().spawn(0).spawn(1).acquire(1).grant(1, 0).grant(1, 1), "granted before");
  expect_fault(Trail().spawn(0).spawn(1).acquire(1).grant(1, 0).release(1, 1, 1),
               "was granted on worker 0");
  expect_fault(Trail().spawn(0).acquire(1).release(1).grant(1, 0), "has ended before");
  expect_fault(Trail().spawn(0).acquire(1).release(1, 0, 1), "never granted a worker");
  expect_fault(Trail().acquire(1), "never released nor revoked", {.complete = true});
}

TEST(AuditVerify, SeesBrokenWorkers) {
  expect_fault(Trail().spawn(0).acquire(1).acquire(2).grant(1, 0).grant(2, 0), "still has lease 1");
  expect_fault(Trail().acquire(1).grant(1, 0), "was never spawned");
  expect_fault(Trail().spawn(0).kill(0).acquire(1).grant(1, 0), "was killed");
  expect_fault(Trail().spawn(0).death(0).acquire(1).grant(1, 0), "is dead");
  expect_fault(Trail().spawn(0).death(0).death(0), "died before");
  expect_fault(Trail().spawn(0).death(0).kill(0), "is dead already");
  expect_fault(Trail().spawn(0).spawn(0), "was spawned before");
  expect_fault(Trail().spawn(0, 2).spawn(0, 1), "incarnation 1 follows 2");
  expect_fault(Trail().death(0), "was never spawned");
  expect_fault(Trail().kill(0), "was never spawned");
  expect_fault(Trail().add(EventKind::spawn, 0), "without a worker");
  expect_fault(Trail().spawn(0).kill(0), "its death is missing", {.complete = true});
  expect_fault(Trail().spawn(0), "never died", {.complete = true});
}

TEST(AuditVerify, BelievesWhatAPartialTrailCannotKnow) {
  Trail t;
  t.release(9, 3, 2).death(3, 2).acquire(10).grant(10, 4, 7);
  EXPECT_TRUE(t.report({.from_start = false}).ok());
  EXPECT_FALSE(t.report().ok());
}

TEST(AuditVerify, KeepsAHundredFaultsAndCountsAll) {
  Trail t;
  for (int i = 0; i < 500; ++i) t.release(1);
  const Report report = t.report();
  EXPECT_EQ(report.faults.size(), 100u);
  EXPECT_GE(report.fault_count, 500u);
  EXPECT_THAT(report.text(), HasSubstr("more"));
}

TEST(AuditSummary, TellsCausesAndPeaks) {
  Trail t;
  t.acquire(1).revoke(1).acquire(2).release(2);
  t.events[1].peak_bytes = 64 << 20;
  t.events[1].task = "study-7";
  t.events[1].elapsed_ns = 1'500'000;
  const std::string text = summary(t.events);
  EXPECT_THAT(text, HasSubstr("revoke    timeout              1"));
  EXPECT_THAT(text, HasSubstr("largest peak: 64.0 MiB (lease 1, task study-7)"));
  EXPECT_THAT(text, HasSubstr("longest revoked lease: 1.500 ms"));
}

// A pool of `workers` slots driven by random bytes always leaves a sound trail; dropping one event
// of the middle never does.
Trail simulate(const std::vector<std::uint8_t>& choices, std::uint32_t workers) {
  struct Slot {
    std::uint32_t incarnation = 1;
    std::uint64_t lease = 0;
  };
  Trail t;
  std::vector<Slot> slots(workers);
  std::uint64_t next_lease = 0;
  for (std::uint32_t w = 0; w < workers; ++w) t.spawn(w);
  for (const std::uint8_t choice : choices) {
    const std::uint32_t w = choice % workers;
    Slot& slot = slots[w];
    if (slot.lease == 0) {
      slot.lease = ++next_lease;
      t.acquire(slot.lease).grant(slot.lease, w, slot.incarnation);
    } else if (choice & 0x80) {
      t.kill(w, slot.incarnation).spawn(w, slot.incarnation + 1);
      t.revoke(slot.lease, w, slot.incarnation).death(w, slot.incarnation);
      slot = Slot{slot.incarnation + 1, 0};
    } else {
      t.release(slot.lease, w, slot.incarnation);
      slot.lease = 0;
    }
  }
  for (std::uint32_t w = 0; w < workers; ++w) {
    if (slots[w].lease != 0) t.revoke(slots[w].lease, w, slots[w].incarnation);
    t.kill(w, slots[w].incarnation).death(w, slots[w].incarnation);
  }
  return t;
}

RC_GTEST_PROP(AuditVerifyProperty, SimulatedPoolsAreSound,
              (const std::vector<std::uint8_t>& choices)) {
  const Report report = simulate(choices, 3).report({.complete = true});
  RC_ASSERT(report.ok());
}

RC_GTEST_PROP(AuditVerifyProperty, AMissingEventIsAlwaysSeen,
              (const std::vector<std::uint8_t>& choices)) {
  Trail t = simulate(choices, 3);
  const auto at = *rc::gen::inRange<std::size_t>(0, t.events.size() - 1);
  if (t.events[at].kind == EventKind::kill) return;  // a death without a kill is a crash
  t.events.erase(t.events.begin() + static_cast<std::ptrdiff_t>(at));
  for (std::size_t i = 0; i < t.events.size(); ++i) t.events[i].sequence = i + 1;
  RC_ASSERT(!t.report({.complete = true}).ok());
}

}  // namespace
}  // namespace reeve::audit
