// Orderings of fifo, priority and fair share.
#include "bridge/turns.hpp"

#include <algorithm>
#include <cmath>

namespace reeve::bridge::detail {

namespace {

constexpr alloc::DimId used_dim = 1;

alloc::Ordering order_of(const SchedulerConfig& config) {
  alloc::Ageing ageing;
  ageing.period = std::chrono::nanoseconds(config.ageing.period).count();
  ageing.step = config.ageing.step;
  ageing.gained_max = config.ageing.gained_max;
  switch (config.policy) {
    case SchedulingPolicy::fifo:
      return alloc::by_arrival();
    case SchedulingPolicy::priority:
      return alloc::then(alloc::by_priority(ageing), alloc::by_arrival());
    case SchedulingPolicy::fair_share:
      break;
  }
  alloc::ShareSpec now{.shared = {workers_dim}, .weights = {}, .group_of = {}};
  for (const Requester& r : config.requesters) now.weights.emplace(r.name, r.weight);
  alloc::ShareSpec past = now;
  past.shared = {used_dim};
  auto order = alloc::then(alloc::by_share(std::move(now)),
                           alloc::then(alloc::by_priority(), alloc::by_arrival()));
  if (config.half_life.count() == 0) return order;
  return alloc::then(alloc::by_share(std::move(past)), std::move(order));
}

}  // namespace

Turns::Turns(const SchedulerConfig& config)
    : half_life_(config.policy == SchedulingPolicy::fair_share
                     ? std::chrono::nanoseconds(config.half_life).count()
                     : 0),
      order_(order_of(config)) {
  const bool quotas = std::any_of(config.requesters.begin(), config.requesters.end(),
                                  [](const Requester& r) { return r.quota.has_value(); });
  if (quotas) order_ = alloc::then(alloc::by_borrowing(), std::move(order_));
  usage_.resize(config.requesters.size());
  for (const Requester& r : config.requesters) names_.push_back(r.name);
  for (const std::string& name : names_) users_.push_back({name, {}, 0});
}

double Turns::used(std::uint32_t requester, Time now) const {
  const Usage& u = usage_[requester];
  if (half_life_ == 0) return 0;
  const double passed = static_cast<double>(now - u.since) / static_cast<double>(half_life_);
  const double kept = std::exp2(-passed);
  // What `workers` would have used for ever comes to workers * half_life / ln 2.
  const double limit =
      static_cast<double>(u.workers) * static_cast<double>(half_life_) * 1e-9 / std::log(2.0);
  return u.seconds * kept + limit * (1 - kept);
}

void Turns::note(std::uint32_t requester, Time now, std::int64_t workers) {
  if (half_life_ == 0) return;
  Usage& u = usage_[requester];
  u.seconds = used(requester, now);
  u.since = now;
  u.workers = workers;
}

std::size_t Turns::first(const Books& books, std::span<const alloc::Pending* const> heads) {
  if (heads.size() == 1) return 0;
  alloc::QueueView view;
  view.now = books.now();
  view.total[workers_dim] = static_cast<std::int64_t>(books.capacity());
  view.total[used_dim] = 1'000'000;
  for (const alloc::Pending* head : heads) {
    alloc::UserView& user = users_[head->user];
    user.tasks = user.usage[workers_dim] = books.held(head->user);
    if (half_life_ > 0) {
      user.usage[used_dim] = std::llround(std::min(used(head->user, view.now), 1e12) * 1e6);
    }
  }
  view.users = users_;
  view.quotas = &books.manager().ledger().quotas();
  std::size_t best = 0;
  for (std::size_t i = 1; i < heads.size(); ++i) {
    const auto order = order_(view, *heads[i], *heads[best]);
    if (order < 0 || (order == 0 && heads[i]->ticket < heads[best]->ticket)) best = i;
  }
  return best;
}

}  // namespace reeve::bridge::detail
