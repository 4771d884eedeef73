// Random reservations among random leases: what was promised is there, and nothing is lost.
#include <list>

#include "tests/bridge/bridge_test_support.hpp"

namespace reeve::test {
namespace {

constexpr std::size_t workers = 4;

/// Leases end at their limit, as the pool would end them by the real clock.
class World {
 public:
  World() : shop_(workers, config()) {}

  void step(int what, int which, int much) {
    if (what < 3) {
      ask(which, much);
    } else if (what < 5) {
      reserve(which, much);
    } else if (what == 5) {
      give_back(which);
    } else if (what == 6 && !reservations_.empty()) {
      reservations_.erase(
          std::next(reservations_.begin(), which % static_cast<int>(reservations_.size())));
      shop_.settle();
    } else {
      for (int i = 0; i <= much % 5; ++i) tick();
    }
    check();
  }

  void finish() {
    for (const auto& [turn, end] : turns_) {
      if (turn->waits()) turn->cancel();
    }
    reservations_.clear();
    turns_.clear();
    shop_.settle();
    const auto status = shop_.scheduler->status();
    RC_ASSERT(status.leased + status.reserved + status.waiting + status.coming == 0U);
    RC_ASSERT(shop_.pool.status().active_tasks == 0U);
    RC_ASSERT(status.differences.empty());
  }

 private:
  using Limited = std::pair<TurnPtr, std::chrono::seconds>;

  static SchedulerConfig config() {
    SchedulerConfig config = of({{"a"}, {"b", 1, 0, WorkerQuota{1, bridge::unlimited, 0}}, {"c"}});
    config.preemption.grace = 2s;
    return config;
  }

  void ask(int which, int much) {
    static constexpr const char* names[] = {"a", "b", "c"};
    WorkerRequest request;
    request.time_limit = std::chrono::seconds(1 + much % 12);
    request.preemptible = which % 2 == 0;
    const TurnPtr turn = shop_.ask(names[which % 3], request);
    turns_.emplace_back(turn, 1 + much % 12);
    if (turn->has()) begun(*turn);
  }

  void reserve(int which, int much) {
    static constexpr const char* names[] = {"a", "b", "c"};
    try {
      reservations_.push_back(shop_.scheduler->reserve(
          names[which % 3], 1 + static_cast<std::size_t>(which % 4),
          shop_.in(std::chrono::seconds(much % 15)), std::chrono::seconds(1 + much % 7)));
    } catch (const bridge::ReservationRefusedError& e) {
      RC_ASSERT(!e.earliest() || *e.earliest() > shop_.in(std::chrono::seconds(much % 15)));
    }
    shop_.settle();
  }

  void give_back(int which) {
    if (turns_.empty()) return;
    auto at = std::next(turns_.begin(), which % static_cast<int>(turns_.size()));
    if (at->first->waits()) at->first->cancel();
    ends_.erase(at->first.get());  // another may come to its address
    turns_.erase(at);
    shop_.settle();
  }

  // One second: the pool ends what has used its time, the scheduler does what is due.
  void tick() {
    shop_.clock.advance(1s);
    for (const auto& [turn, seconds] : turns_) {
      if (!turn->has() || turn->lease->revoked()) continue;
      const auto at = ends_.find(turn.get());
      if (at != ends_.end() && at->second <= shop_.clock.now()) {
        shop_.pool.preempt(turn->lease->key(), "the pool", "its time is used up");
      }
    }
    shop_.settle();
    shop_.scheduler->poll();
    shop_.settle();
    for (const auto& [turn, seconds] : turns_) {
      if (turn->has()) begun(*turn);
    }
  }

  void begun(Turn& turn) {
    if (ends_.contains(&turn)) return;
    const auto at = std::find_if(turns_.begin(), turns_.end(),
                                 [&](const Limited& l) { return l.first.get() == &turn; });
    // Out of a reservation it ends with that at the latest; an earlier end is fine for this test.
    auto end = shop_.in(at->second);
    for (const auto& r : shop_.scheduler->status().reservations) {
      if (r.leased > 0 && r.end < end) end = r.end;
    }
    ends_.emplace(&turn, end);
  }

  void check() {
    for (const auto& [turn, seconds] : turns_) {
      if (turn->has()) begun(*turn);
    }
    const auto status = shop_.scheduler->status();
    std::size_t held = 0;
    for (const auto& [turn, seconds] : turns_) held += turn->has() && !turn->lease->revoked();
    RC_ASSERT(status.differences.empty());
    RC_ASSERT(status.coming == 0U);
    RC_ASSERT(status.leased == held);
    RC_ASSERT(status.leased + status.reserved <= workers);
    RC_ASSERT(shop_.pool.status().active_tasks == held);
    for (const auto& r : status.reservations) {
      RC_ASSERT(r.end > shop_.clock.now());
      if (r.start <= shop_.clock.now()) RC_ASSERT(r.ready + r.leased == r.workers);
    }
  }

  Shop shop_;
  std::list<Limited> turns_;
  std::map<const Turn*, Clock::time_point> ends_;
  std::list<bridge::WorkerReservation> reservations_;
};

RC_GTEST_PROP(BridgePromises, AreKept, ()) {
  World world;
  for (int i = 0; i < 40; ++i) {
    const int what = *rc::gen::inRange(0, 9);
    const int which = *rc::gen::inRange(0, 60);
    const int much = *rc::gen::inRange(0, 60);
    RC_LOG() << what << " " << which << " " << much << "\n";
    world.step(what, which, much);
  }
  world.finish();
}

}  // namespace
}  // namespace reeve::test
