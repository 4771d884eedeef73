// Trees that follow the log of changes, and the classes behind a list of constraints.
#include "alloc/candidate_index.hpp"

#include <algorithm>

#include "alloc/scores.hpp"

namespace reeve::alloc::detail {

void CandidateIndex::changed(std::uint32_t resource) {
  if (kept_.empty()) return;
  const bool unread = log_begin_ + log_.size() > read_;
  if (unread && !log_.empty() && log_.back() == resource) return;
  if (log_.size() >= log_max_) {  // nobody searches: whoever does again starts anew
    log_begin_ += log_.size();
    log_.clear();
  }
  log_.push_back(resource);
}

void CandidateIndex::rescale() {
  for (auto& k : kept_) k->stale = true;
}

CandidateIndex::Kept* CandidateIndex::find(Order order, std::uint8_t dims, std::size_t resources) {
  for (auto& k : kept_)
    if (k->order == order && k->tree.dims() == dims) return k.get();
  if (kept_.size() == trees_max) {
    const auto oldest =
        std::min_element(kept_.begin(), kept_.end(),
                         [](const auto& a, const auto& b) { return a->searched < b->searched; });
    // One that was of use lately is worth more than a tree for a rare shape.
    if (searches_ - (*oldest)->searched < resources) return nullptr;
    kept_.erase(oldest);
  }
  kept_.push_back(std::make_unique<Kept>(order, dims));
  return kept_.back().get();
}

void CandidateIndex::enter(Kept& kept, std::uint32_t resource, const ClusterView& now) {
  const auto& account = now.accounts[resource];
  if (!account.open || account.removed) return kept.tree.drop(resource);
  const Amounts free = account.free() - now.overlay[resource];
  const auto dims = kept.tree.dims();
  std::int64_t key = 0;
  if (kept.order == Order::left) key = left_over(free, now.largest, dims);
  if (kept.order == Order::room) key = -left_over(free, now.largest, dims);
  if (kept.order == Order::used) key = fullest(free, account.capacity, dims);
  kept.tree.put(resource, key, free, tightest(free, now.largest, dims), now.class_of[resource]);
}

const CandidateTree* CandidateIndex::tree(Order order, std::uint8_t dims, const ClusterView& now) {
  Kept* kept = find(order, dims, now.accounts.size());
  ++searches_;
  if (!kept) return nullptr;
  kept->searched = searches_;
  const auto resources = static_cast<std::uint32_t>(now.accounts.size());
  if (kept->stale || kept->seen < log_begin_) {
    kept->tree.clear();
    kept->tree.reserve(resources);
    for (std::uint32_t r = 0; r < resources; ++r) enter(*kept, r, now);
    kept->stale = false;
  } else {
    for (auto at = kept->seen - log_begin_; at < log_.size(); ++at) enter(*kept, log_[at], now);
  }
  kept->seen = log_begin_ + log_.size();
  read_ = kept->seen;
  log_max_ = 4 * std::size_t{resources} + 2048;
  if (log_.size() > log_max_ / 2) {
    const auto half = log_.size() / 2;
    log_.erase(log_.begin(), log_.begin() + static_cast<std::ptrdiff_t>(half));
    log_begin_ += half;
  }
  return &kept->tree;
}

std::size_t CandidateIndex::WhereHash::operator()(std::span<const Constraint> where) const {
  std::size_t h = where.size();
  const auto mix = [&](std::size_t v) { h = (h ^ v) * 0x9E3779B97F4A7C15ULL + (h >> 29); };
  for (const auto& c : where) {
    mix(std::hash<std::string>{}(c.key));
    mix(static_cast<std::size_t>(c.kind));
    for (const auto& v : c.values) mix(std::hash<CapValue>{}(v));
  }
  return h;
}

bool CandidateIndex::WhereEqual::operator()(std::span<const Constraint> a,
                                            std::span<const Constraint> b) const {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

const ClassSet& CandidateIndex::classes(std::span<const Constraint> where,
                                        const std::vector<Capabilities>& classes) {
  auto at = sets_.find(where);
  if (at == sets_.end()) {
    if (sets_.size() >= class_sets_max) sets_.clear();
    at = sets_.emplace(std::vector<Constraint>(where.begin(), where.end()), ClassSet{}).first;
  }
  auto& set = at->second;
  for (auto c = set.ok.size(); c < classes.size(); ++c) {
    set.ok.push_back(!first_unmet(classes[c], where));
    if (set.ok.back()) set.bits |= std::uint64_t{1} << (c % 64);
  }
  return set;
}

}  // namespace reeve::alloc::detail
