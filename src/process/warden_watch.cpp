// The warden's watch over deadlines and memory: it sleeps unless a lease is active.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "process/tree.hpp"
#include "process/warden.hpp"

namespace reeve::process {

std::int64_t look_interval_ns(std::uint64_t used, std::uint64_t limit) {
  // No memory on this class of machine fills faster than 40 bytes per ns.
  const std::uint64_t headroom = limit > used ? limit - used : 0;
  return static_cast<std::int64_t>(std::clamp<std::uint64_t>(headroom / 40, 500'000, 100'000'000));
}

void Warden::sweep() {
  constexpr int passes_max = 4;
  for (int pass = 1;; ++pass) {
    board_->sweeps.fetch_add(1, std::memory_order_relaxed);
    const std::int64_t now = monotonic_ns();
    std::int64_t next = never;
    for (std::uint32_t slot = 0; slot < wards_.size(); ++slot) {
      next = std::min(next, look_at(slot, now));
    }
    arm(next);
    // A lease granted meanwhile saw the old alarm or we see its deadline now: one of both is sure.
    std::int64_t missed = never;
    bool changed = false;
    for (std::uint32_t slot = 0; slot < wards_.size(); ++slot) {
      const Ward& ward = wards_[slot];
      if (ward.pid == 0 || ward.killed_for != Cause::none) continue;  // its lease ends by itself
      const LeaseWord word{slots_[slot].word.load(std::memory_order_seq_cst)};
      // The program has not heard of this death yet: there is nothing left to watch.
      if (wards_[slot].pid == 0 || wards_[slot].killed_for != Cause::none) continue;
      if (word.cause() != Cause::active) continue;
      const std::uint64_t limit = slots_[slot].memory_limit.load();
      changed |= limit != 0 && (ward.next_look == 0 || ward.looked_for != limit);
      const std::int64_t deadline = slots_[slot].deadline.load(std::memory_order_seq_cst);
      if (deadline < next) missed = std::min(missed, deadline);
    }
    if (missed == never && !changed) return;
    // Many short calls with limits of their own change something at each pass: others are served
    // first.
    if (pass == passes_max) return arm(std::min(missed, monotonic_ns() + 500'000));
  }
}

std::int64_t Warden::look_at(std::uint32_t slot, std::int64_t now) {
  BoardSlot& entry = slots_[slot];
  Ward& ward = wards_[slot];
  if (ward.pid == 0) return never;
  if (ward.killed_for != Cause::none) {
    // In D state nothing dies; say so once instead of letting everybody wait.
    constexpr std::int64_t patience = 2'000'000'000;
    // A child that traces the worker keeps even the dead one from being reaped: it is an orphan
    // now.
    if (ward.had_children) {
      ward.descendants_killed = std::max(ward.descendants_killed, kill_orphans(known_pids()));
    }
    if (ward.reported_unkillable) return never;
    if (now < ward.decided_at + patience) {
      return ward.had_children ? now + 5'000'000 : ward.decided_at + patience;
    }
    ward.reported_unkillable = true;
    Report stuck = report(MessageKind::revoked, slot);
    stuck.unkillable = 1;
    send(stuck);
    return never;
  }
  const LeaseWord word{entry.word.load(std::memory_order_acquire)};
  if (word.cause() != Cause::active) {
    ward.next_look = 0;
    return never;
  }
  const std::int64_t deadline = entry.deadline.load(std::memory_order_acquire);
  if (now >= deadline) {
    std::uint64_t expected = word.bits();
    if (entry.word.compare_exchange_strong(expected, word.with(Cause::timeout).bits())) {
      ward.limit = static_cast<std::uint64_t>(deadline);
      ward.observed = static_cast<std::uint64_t>(now);
      kill(slot, Cause::timeout);
      return now + 5'000'000;
    }
    return now;  // the call ended at this instant: look again
  }
  const std::uint64_t limit = entry.memory_limit.load(std::memory_order_acquire);
  if (limit == 0) return deadline;
  // Looking a little early puts many leases into one sweep.
  if (limit != ward.looked_for || now + ward.look_interval / 2 >= ward.next_look) {
    if (over_memory(slot, limit)) {
      std::uint64_t expected = word.bits();
      if (entry.word.compare_exchange_strong(expected, word.with(Cause::memory).bits())) {
        ward.limit = limit;
        kill(slot, Cause::memory);
        return now + 5'000'000;
      }
    }
    ward.looked_for = limit;
    ward.look_interval = look_interval_ns(ward.observed, limit);
    ward.next_look = now + ward.look_interval;
  }
  return std::min(deadline, ward.next_look);
}

bool Warden::over_memory(std::uint32_t slot, std::uint64_t limit) {
  Ward& ward = wards_[slot];
  std::uint32_t descendants = 0;
  std::uint64_t used = measure(ward, descendants);
  if (descendants == 0) {
    ward.overcount = 0;
    ward.next_close_look = 0;
  } else if (used > limit) {
    used = look_closely(ward, used, limit);
  }
  ward.observed = used;
  BoardSlot& entry = slots_[slot];
  entry.memory_used.store(used, std::memory_order_relaxed);
  entry.descendants.store(descendants, std::memory_order_relaxed);
  if (used > entry.memory_peak.load(std::memory_order_relaxed)) {
    entry.memory_peak.store(used, std::memory_order_relaxed);
  }
  return used > limit;
}

// Pages that a forked child shares are counted twice; which ones, only a closer look tells. What is
// shared is shared until either writes to it, which no count shows: so it is looked at again, for
// a twentieth of the time at most. Who may not be looked at closely counts as in the first count.
std::uint64_t Warden::look_closely(Ward& ward, std::uint64_t used, std::uint64_t limit) const {
  const std::int64_t begun = monotonic_ns();
  if (used - std::min(used, ward.overcount) > limit || begun >= ward.next_close_look) {
    std::vector<pid_t> tree{ward.pid};
    list_descendants(ward.pid, tree);
    std::uint64_t exact = 0;
    for (const pid_t pid : tree) {
      const auto set = proportional_set(pid);
      exact += set ? *set : pid == ward.pid ? measure_worker(ward) : measure_descendant(pid);
    }
    ward.overcount = used - std::min(used, exact);
    const std::int64_t end = monotonic_ns();
    ward.next_close_look = end + std::max<std::int64_t>(10'000'000, 20 * (end - begun));
  }
  return used - std::min(used, ward.overcount);
}

bool Warden::has_children(Ward& ward) {
  if (ward.children_fd < 0) {
    char path[64];
    std::snprintf(path, sizeof path, "/proc/%d/task/%d/children", ward.pid, ward.pid);
    ward.children_fd = move_up(open(path, O_RDONLY | O_CLOEXEC));
  }
  char children[16];
  if (pread(ward.children_fd, children, sizeof children, 0) > 0) return true;
  // A child that another thread has forked is listed below that thread. The directory of threads
  // has a link for each of them, beside its own two.
  char path[64];
  struct stat tasks{};
  std::snprintf(path, sizeof path, "/proc/%d/task", ward.pid);
  if (stat(path, &tasks) != 0 || tasks.st_nlink <= 3) return false;
  std::vector<pid_t> found;
  list_children(ward.pid, found);
  return !found.empty();
}

std::uint64_t Warden::measure_worker(Ward& ward) const {
  static const auto page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  char text[128];
  if (ward.statm_fd < 0) {
    std::snprintf(text, sizeof text, "/proc/%d/statm", ward.pid);
    ward.statm_fd = move_up(open(text, O_RDONLY | O_CLOEXEC));
  }
  const ssize_t size = pread(ward.statm_fd, text, sizeof text - 1, 0);
  if (size <= 0) return 0;
  text[size] = '\0';
  char* at = text;
  std::strtoull(at, &at, 10);
  const std::uint64_t resident = std::strtoull(at, &at, 10) * page;
  const std::uint64_t shared = std::strtoull(at, &at, 10) * page;
  std::uint64_t used = resident - std::min(resident, shared);
  std::uint64_t mapped = shared - std::min(shared, shared_baseline_);
  if (mapped > (1u << 20)) {
    struct stat channel{};
    if (fstat(ward.channel_fd, &channel) == 0) {
      mapped -= std::min(mapped, static_cast<std::uint64_t>(channel.st_blocks) * 512);
    }
    used += mapped;
  }
  return used;
}

std::uint64_t Warden::measure_descendant(pid_t pid) const {
  std::uint64_t own = 0, common = 0;
  if (!memory_of(pid, own, common)) return 0;
  return own + common - std::min(common, shared_baseline_);
}

std::uint64_t Warden::measure(Ward& ward, std::uint32_t& descendants) {
  std::uint64_t used = measure_worker(ward);
  // Far from the limit a look at the children each fourth time is enough.
  constexpr std::int64_t far = 100'000'000;
  const bool skip = ward.look_interval == far && ++ward.looks % 4 != 0 && !ward.had_children;
  ward.had_children = !skip && has_children(ward);
  if (ward.had_children) {
    std::vector<pid_t> tree;
    list_descendants(ward.pid, tree);
    descendants = static_cast<std::uint32_t>(tree.size());
    for (const pid_t pid : tree) used += measure_descendant(pid);
  }
  return used;
}

void Warden::arm(std::int64_t when) {
  board_->armed_until.store(when, std::memory_order_seq_cst);
  itimerspec at{};
  if (when != never) {
    at.it_value.tv_sec = when / 1'000'000'000;
    at.it_value.tv_nsec = when % 1'000'000'000;
    if (when <= 0) at.it_value.tv_nsec = 1;
  }
  timerfd_settime(timer_, TFD_TIMER_ABSTIME, &at, nullptr);
}

}  // namespace reeve::process
