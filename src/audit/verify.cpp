// Replays an audit trail against the invariants of a pool.
#include <fmt/format.h>

#include <map>
#include <reeve/audit/verify.hpp>
#include <unordered_map>
#include <utility>

namespace reeve::audit {
namespace {

constexpr std::size_t faults_kept = 100;

using WorkerKey = std::pair<std::uint32_t, std::uint32_t>;  // slot, incarnation

struct LeaseState {
  bool granted = false;
  bool ended = false;
  bool believed = false;  // its beginning is missing
  WorkerKey worker{no_worker, 0};
};

struct WorkerState {
  bool killed = false;
  bool dead = false;
  std::uint64_t lease = 0;
};

class Replay {
 public:
  explicit Replay(VerifyOptions options) : options_(options) {}

  void step(const Event& event) {
    order(event);
    ++report_.counts[std::min<std::size_t>(static_cast<std::size_t>(event.kind),
                                           event_kind_count - 1)];
    switch (event.kind) {
      case EventKind::acquire:
        return acquire(event);
      case EventKind::grant:
        return grant(event);
      case EventKind::release:
      case EventKind::revoke:
        return end(event);
      case EventKind::spawn:
        return spawn(event);
      case EventKind::kill:
        return kill(event);
      case EventKind::death:
        return death(event);
      default:
        return;
    }
  }

  Report finish() {
    for (const auto& [id, lease] : leases_) {
      if (lease.ended) continue;
      ++report_.active_leases;
      if (options_.complete) fault(fmt::format("lease {} was never released nor revoked", id));
    }
    for (const auto& [key, worker] : workers_) {
      if (worker.dead) continue;
      ++report_.live_workers;
      if (!options_.complete) continue;
      fault(fmt::format("{} {}", name(key),
                        worker.killed ? "was killed but its death is missing" : "never died"));
    }
    if (options_.from_start) totals();
    return std::move(report_);
  }

 private:
  static std::string name(WorkerKey key) {
    return fmt::format("worker {} incarnation {}", key.first, key.second);
  }
  static WorkerKey key_of(const Event& event) { return {event.worker, event.incarnation}; }

  void fault(std::string text) {
    if (report_.faults.size() < faults_kept) report_.faults.push_back(std::move(text));
    ++report_.fault_count;
  }
  void fault(const Event& event, std::string_view text) {
    fault(fmt::format("event {} ({}): {}", event.sequence, to_string(event.kind), text));
  }

  void order(const Event& event) {
    const bool first = last_sequence_ == 0;
    const std::uint64_t expected =
        first && !options_.from_start ? event.sequence : last_sequence_ + 1;
    if (event.sequence != expected) fault(event, fmt::format("{} was expected here", expected));
    if (!first && event.monotonic_ns < last_time_) {
      fault(event, fmt::format("time runs back by {} ns", last_time_ - event.monotonic_ns));
    }
    last_sequence_ = event.sequence;
    last_time_ = event.monotonic_ns;
  }

  void acquire(const Event& event) {
    if (event.lease == 0) return fault(event, "an acquire without a lease id");
    if (!leases_.try_emplace(event.lease).second) {
      fault(event, fmt::format("lease {} was acquired before", event.lease));
    }
  }

  // The lease of `event`, or null with a fault noted.
  LeaseState* active_lease(const Event& event) {
    auto found = leases_.find(event.lease);
    if (found == leases_.end()) {
      if (options_.from_start || event.lease == 0) {
        fault(event, fmt::format("lease {} was never acquired", event.lease));
        return nullptr;
      }
      found = leases_.try_emplace(event.lease).first;
      found->second.believed = true;
    }
    if (found->second.ended) {
      fault(event, fmt::format("lease {} has ended before", event.lease));
      return nullptr;
    }
    return &found->second;
  }

  WorkerState* known_worker(const Event& event) {
    auto found = workers_.find(key_of(event));
    if (found == workers_.end()) {
      if (options_.from_start || event.worker == no_worker) {
        fault(event, name(key_of(event)) + " was never spawned");
        return nullptr;
      }
      found = workers_.try_emplace(key_of(event)).first;
    }
    return &found->second;
  }

  void grant(const Event& event) {
    LeaseState* lease = active_lease(event);
    WorkerState* worker = known_worker(event);
    if (lease != nullptr && lease->granted) {
      fault(event, fmt::format("lease {} was granted before", event.lease));
      return;
    }
    if (worker != nullptr) {
      if (worker->dead || worker->killed) {
        fault(event, name(key_of(event)) + (worker->dead ? " is dead" : " was killed"));
      }
      if (worker->lease != 0) {
        fault(event, fmt::format("{} still has lease {}", name(key_of(event)), worker->lease));
      }
    }
    if (lease == nullptr) return;
    lease->granted = true;
    lease->worker = key_of(event);
    if (worker != nullptr) worker->lease = event.lease;
  }

  void end(const Event& event) {
    LeaseState* lease = active_lease(event);
    if (lease == nullptr) return;
    lease->ended = true;
    if (!lease->granted) {
      if (event.worker != no_worker && !lease->believed) {
        fault(event, fmt::format("lease {} was never granted a worker", event.lease));
      }
      return;
    }
    if (event.worker != no_worker && key_of(event) != lease->worker) {
      fault(event, fmt::format("lease {} was granted on {}", event.lease, name(lease->worker)));
    }
    const auto worker = workers_.find(lease->worker);
    if (worker != workers_.end() && worker->second.lease == event.lease) worker->second.lease = 0;
  }

  void spawn(const Event& event) {
    if (event.worker == no_worker) return fault(event, "a spawn without a worker");
    if (!workers_.try_emplace(key_of(event)).second) {
      return fault(event, name(key_of(event)) + " was spawned before");
    }
    std::uint32_t& newest = incarnations_[event.worker];
    if (event.incarnation <= newest) {
      fault(event, fmt::format("incarnation {} follows {}", event.incarnation, newest));
    }
    newest = std::max(newest, event.incarnation);
  }

  void kill(const Event& event) {
    WorkerState* worker = known_worker(event);
    if (worker == nullptr) return;
    if (worker->dead) fault(event, name(key_of(event)) + " is dead already");
    worker->killed = true;
  }

  void death(const Event& event) {
    WorkerState* worker = known_worker(event);
    if (worker == nullptr) return;
    if (worker->dead) fault(event, name(key_of(event)) + " died before");
    worker->dead = true;
  }

  void totals() {
    const std::uint64_t ended =
        report_.count(EventKind::release) + report_.count(EventKind::revoke);
    if (report_.count(EventKind::acquire) != ended + report_.active_leases) {
      fault(fmt::format("{} acquires are not {} ends + {} active",
                        report_.count(EventKind::acquire), ended, report_.active_leases));
    }
    if (report_.count(EventKind::spawn) != report_.count(EventKind::death) + report_.live_workers) {
      fault(fmt::format("{} spawns are not {} deaths + {} alive", report_.count(EventKind::spawn),
                        report_.count(EventKind::death), report_.live_workers));
    }
  }

  VerifyOptions options_;
  Report report_;
  std::uint64_t last_sequence_ = 0;
  std::int64_t last_time_ = 0;
  std::unordered_map<std::uint64_t, LeaseState> leases_;
  std::map<WorkerKey, WorkerState> workers_;
  std::unordered_map<std::uint32_t, std::uint32_t> incarnations_;
};

}  // namespace

Report verify(std::span<const Event> events, VerifyOptions options) {
  Replay replay(options);
  for (const Event& event : events) replay.step(event);
  return replay.finish();
}

std::string Report::text() const {
  const std::string figures = fmt::format(
      "{} acquires = {} releases + {} revokes + {} active; {} spawns = {} deaths + {} alive; {} "
      "kills",
      count(EventKind::acquire), count(EventKind::release), count(EventKind::revoke), active_leases,
      count(EventKind::spawn), count(EventKind::death), live_workers, count(EventKind::kill));
  if (ok()) return "ok: " + figures;
  std::string out = fmt::format("{} faults; {}", fault_count, figures);
  for (const std::string& fault : faults) out += "\n  " + fault;
  if (fault_count > faults.size()) {
    out += fmt::format("\n  and {} more", fault_count - faults.size());
  }
  return out;
}

// The lease an event is about; deaths and kills of idle workers have none.
static std::string whose(const Event& event) {
  if (event.lease != 0) return fmt::format("lease {}, task {}", event.lease, event.task.view());
  return fmt::format("worker w{}#{}, pid {}", event.worker, event.incarnation, event.pid);
}

std::string summary(std::span<const Event> events) {
  std::array<std::array<std::uint64_t, cause_count>, event_kind_count> table{};
  const Event* peak = nullptr;
  const Event* longest[event_kind_count] = {};
  for (const Event& event : events) {
    const auto kind = static_cast<std::size_t>(event.kind);
    const auto cause = static_cast<std::size_t>(event.cause);
    if (kind >= event_kind_count || cause >= cause_count) continue;
    ++table[kind][cause];
    if (event.peak_bytes > 0 && (peak == nullptr || event.peak_bytes > peak->peak_bytes)) {
      peak = &event;
    }
    if (event.elapsed_ns > 0 &&
        (longest[kind] == nullptr || event.elapsed_ns > longest[kind]->elapsed_ns)) {
      longest[kind] = &event;
    }
  }
  std::string out = fmt::format("{:<10}{:<12}{:>10}\n", "event", "cause", "count");
  for (std::size_t kind = 0; kind < event_kind_count; ++kind) {
    for (std::size_t cause = 0; cause < cause_count; ++cause) {
      if (table[kind][cause] == 0) continue;
      out += fmt::format("{:<10}{:<12}{:>10}\n", to_string(static_cast<EventKind>(kind)),
                         to_string(static_cast<Cause>(cause)), table[kind][cause]);
    }
  }
  const auto line = [&](std::string_view text, EventKind kind) {
    const Event* event = longest[static_cast<std::size_t>(kind)];
    if (event == nullptr) return;
    out += fmt::format("{}: {:.3f} ms ({})\n", text, static_cast<double>(event->elapsed_ns) / 1e6,
                       whose(*event));
  };
  line("longest wait for a worker", EventKind::grant);
  line("longest released lease", EventKind::release);
  line("longest revoked lease", EventKind::revoke);
  line("slowest death after a kill", EventKind::death);
  if (peak != nullptr) {
    out += fmt::format("largest peak: {:.1f} MiB ({})\n",
                       static_cast<double>(peak->peak_bytes) / (1 << 20), whose(*peak));
  }
  return out;
}

}  // namespace reeve::audit
