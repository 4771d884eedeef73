// The limiter's decisions: who is granted, who has waited too long, when to look at the load again.
#include "limits/limiter_state.hpp"

#include <algorithm>

namespace reeve::limits::detail {
namespace {

/// `obstacle` (request, waiters in front) says what each of them is told.
template <class T, class F>
void dismiss_late(async::WaiterQueue<T>& queue, Deadline now, F obstacle) {
  std::size_t in_front = 0;
  for (async::Waiter<T>* w = queue.front(); w != nullptr; ++in_front) {
    async::Waiter<T>* const next = async::WaiterQueue<T>::next(*w);
    Request& request = request_of(*w);
    if (request.deadline <= now) {
      request.obstacle = obstacle(request, in_front);
      queue.dismiss(*w);
    }
    w = next;
  }
}

template <class T>
Deadline earliest(const async::WaiterQueue<T>& queue, Deadline so_far) {
  for (const async::Waiter<T>* w = queue.front(); w != nullptr; w = async::WaiterQueue<T>::next(*w))
    so_far = std::min(so_far, request_of(*w).deadline);
  return so_far;
}

}  // namespace

LimiterState::LimiterState(LimiterConfig c) : config(std::move(c)) {
  if (!config.probe) config.probe = make_system_probe();
  sample = config.probe->sample();
  sampled = looked = config.clock->now();
}

void LimiterState::refresh() noexcept {
  const auto now = config.clock->now();
  if (now - looked < config.check_interval) return;
  looked = now;
  try {
    sample = config.probe->sample();
    sampled = now;
  } catch (...) {  // sample_age tells how old the one is that stays
  }
}

ByteSize LimiterState::reserved() const {
  if (declared == 0) return ByteSize{};
  const auto now = config.clock->now();
  ByteSize sum{};
  for (const auto& [id, lease] : leases)
    if (now - lease.granted < config.settle_time) sum += lease.memory;
  return sum;
}

Blocker LimiterState::look(ByteSize need) const {
  return judge(config.limits, sample, static_cast<int>(leases.size()), reserved(), need, blocker);
}

Blocker LimiterState::check(ByteSize need) {
  refresh();
  blocker = look(need);
  return blocker;
}

TaskSlot LimiterState::grant(ByteSize memory) {
  const std::uint64_t id = ++last_lease;
  leases.emplace(id,
                 Lease{memory, memory == ByteSize{} ? Clock::time_point{} : config.clock->now()});
  if (memory != ByteSize{}) ++declared;
  return TaskSlot(shared_from_this(), id);
}

void LimiterState::pump() {
  while (!slots.empty()) {
    SlotWaiter* const first = slots.front();
    const ByteSize need = request_of(*first).memory;
    if (check(need) != Blocker::none) break;
    slots.grant(*first, grant(need));
  }
  if (!passes.empty() && slots.empty() && check(ByteSize{}) == Blocker::none)
    while (!passes.empty()) passes.grant(*passes.front(), Pass{});
}

Obstacle LimiterState::obstacle_of(ByteSize need, std::size_t in_front) const {
  Obstacle o{look(need), in_front, static_cast<int>(leases.size()),
             reserved(), sample,   config.limits};
  // What stopped the first in line may be gone since `pump` looked; it is still why it waited.
  if (o.blocker == Blocker::none) o.blocker = in_front != 0 ? Blocker::queue : blocker;
  return o;
}

void LimiterState::expire(Deadline now) {
  dismiss_late(slots, now, [this](const Request& request, std::size_t in_front) {
    return obstacle_of(request.memory, in_front);
  });
  dismiss_late(passes, now,
               [this](const Request&, std::size_t) { return obstacle_of({}, slots.size()); });
  const auto locked = [](const Request&, std::size_t in_front) {
    return Obstacle{Blocker::lock, in_front, 0, {}, {}, {}};
  };
  for (auto& [name, model] : models) dismiss_late(model.queue, now, locked);
}

void LimiterState::end() {
  stop = true;
  while (!slots.empty()) slots.dismiss(*slots.front());
  while (!passes.empty()) passes.dismiss(*passes.front());
  for (auto& [name, model] : models)
    while (!model.queue.empty()) model.queue.dismiss(*model.queue.front());
}

bool LimiterState::somebody_waits() const {
  return !slots.empty() || !passes.empty() ||
         std::any_of(models.begin(), models.end(),
                     [](const auto& model) { return !model.second.queue.empty(); });
}

Deadline LimiterState::first_deadline() const {
  Deadline first = earliest(slots, Deadline::max());
  first = earliest(passes, first);
  for (const auto& [name, model] : models) first = earliest(model.queue, first);
  return first;
}

void LimiterState::notice(Deadline deadline, bool load_matters) {
  if (load_matters)
    deadline = std::min(deadline, std::chrono::steady_clock::now() + config.check_interval);
  if (!keeper.joinable() && !stop) keeper = std::thread([this] { keep(); });
  if (deadline < next_deadline) {
    next_deadline = deadline;
    changed.notify_one();
  }
}

void LimiterState::keep() {
  std::unique_lock lock(mutex);
  while (!stop) {
    if (!somebody_waits()) {
      next_deadline = Deadline::max();
      changed.wait(lock);
      continue;
    }
    const auto now = std::chrono::steady_clock::now();
    pump();  // first: whoever can be granted is not late, and everyone else's obstacle is known
    expire(now);
    pump();
    // The load is looked at only for those who wait for it; a model lock waits for its holder.
    const bool load_matters = !slots.empty() || !passes.empty();
    next_deadline = first_deadline();
    if (load_matters) next_deadline = std::min(next_deadline, now + config.check_interval);
    if (next_deadline == Deadline::max())
      changed.wait(lock);
    else
      changed.wait_until(lock, next_deadline);
  }
}

void LimiterState::forget_if_unused(Models::iterator at) {
  if (!at->second.held && at->second.users == 0) models.erase(at);
}

}  // namespace reeve::limits::detail
