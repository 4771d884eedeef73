// Growth at once, shrinking by draining.
#include "reeve/alloc/elastic_pool.hpp"

#include <algorithm>

namespace reeve::alloc {

Result<ElasticPool> ElasticPool::create(ReservationManager& manager, Resource model,
                                        PoolOptions options) {
  if (options.size < options.limits.size_min || options.size > options.limits.size_max)
    return Refusal{.code = Code::invalid_request, .subject = "the size is outside its limits"};
  ElasticPool pool(manager, std::move(model), options);
  PoolStep step;
  for (std::int32_t k = 0; k < options.size; ++k) {
    if (auto ok = pool.add_one(step); !ok) {
      for (auto id : pool.members_) (void)manager.remove_resource(id);
      return ok.refusal();
    }
  }
  return pool;
}

Result<void> ElasticPool::add_one(PoolStep& step) {
  if (!draining_.empty()) {
    (void)manager_->resume_resource(draining_.back());
    members_.push_back(draining_.back());
    draining_.pop_back();
    ++step.resumed;
    return {};
  }
  Resource resource = model_;
  resource.name += '-';
  resource.name += std::to_string(next_);
  auto id = manager_->register_resource(std::move(resource));
  if (!id) return id.refusal();
  ++next_;
  members_.push_back(*id);
  ++step.added;
  return {};
}

void ElasticPool::set_size(std::int32_t to, PoolStep& step) {
  while (size() < to)
    if (!add_one(step)) break;
  while (size() > to) {
    (void)manager_->drain_resource(members_.back());
    draining_.push_back(members_.back());
    members_.pop_back();
    ++step.drained;
  }
  if (step.added + step.resumed + step.drained > 0) last_change_ = manager_->now();
}

void ElasticPool::remove_drained(PoolStep& step) {
  std::erase_if(draining_, [&](ResourceId id) {
    const bool gone = manager_->remove_resource(id).has_value();  // refused while in use
    step.removed += gone;
    return gone;
  });
}

double ElasticPool::utilisation() const {
  double most = 0;
  for (DimId d = 0; d < max_dims; ++d) {
    if (model_.capacity[d] == 0) continue;
    double used = 0;
    double capacity = 0;
    for (auto id : members_) {
      const auto& account = manager_->ledger().resources()[static_cast<std::size_t>(id)];
      used += double(account.balance.held[d] + account.balance.committed[d]);
      capacity += double(account.capacity[d]);
    }
    if (capacity > 0) most = std::max(most, used / capacity);
  }
  return most;
}

Result<PoolStep> ElasticPool::resize(std::int32_t to) {
  if (options_.kind == PoolKind::fixed)
    return Refusal{.code = Code::invalid_request, .subject = "a fixed pool keeps its size"};
  if (to < options_.limits.size_min || to > options_.limits.size_max)
    return Refusal{.code = Code::invalid_request, .subject = "the size is outside its limits"};
  PoolStep step;
  set_size(to, step);
  remove_drained(step);
  return step;
}

PoolStep ElasticPool::step(const Advisor& advisor, double contentions_per_minute,
                           double longest_wait_s) {
  (void)manager_->cleanup_expired_reservations();
  PoolStep step;
  const Time now = manager_->now();
  window_.push_back({now, utilisation(), contentions_per_minute, longest_wait_s});
  if (window_.size() > std::max<std::size_t>(1, options_.window)) window_.erase(window_.begin());
  const bool cooling = last_change_ && now - *last_change_ < options_.limits.cooldown;
  if (options_.kind != PoolKind::fixed && advisor && !cooling) {
    step.advice = advisor(window_, size(), options_.limits);
    const auto to = std::clamp<std::int64_t>(std::int64_t{size()} + step.advice.change,
                                             options_.limits.size_min, options_.limits.size_max);
    if (step.advice.change != 0) set_size(static_cast<std::int32_t>(to), step);
  }
  remove_drained(step);
  return step;
}

}  // namespace reeve::alloc
