// Passes over what `recent` says: sorted rows first, then the erasure of its oldest part.
#include "tasks/fold_plan.hpp"

#include <algorithm>
#include <utility>

namespace reeve::tasks::detail {
namespace {

constexpr std::int64_t erase_steps = 32;

constexpr auto by_rid = [](const FoldPlan::Item& a, const FoldPlan::Item& b) {
  return a.rid < b.rid;
};

}  // namespace

void FoldPlan::appended(std::int64_t seq, std::size_t bytes) {
  if (oldest_ == 0) oldest_ = seq;
  last_ = seq;
  fresh_bytes_ += bytes;
}

void FoldPlan::said(std::uint64_t rid, RecentEntry& entry) {
  if (entry.kind == RecentEntry::Kind::in_table)
    if (Item* older = find_folding(rid)) older->entry = RecentEntry();  // the table has a newer one
  std::swap(fresh_[rid], entry);
}

void FoldPlan::suspect(std::uint64_t rid) {
  fresh_.try_emplace(rid);
}

bool FoldPlan::may_hold(std::uint64_t rid) const {
  return fresh_.contains(rid) || const_cast<FoldPlan*>(this)->find_folding(rid) != nullptr;
}

FoldPlan::Item* FoldPlan::find_folding(std::uint64_t rid) {
  const auto at = std::lower_bound(folding_.begin(), folding_.end(), Item{rid, {}}, by_rid);
  return at != folding_.end() && at->rid == rid ? &*at : nullptr;
}

void FoldPlan::begin_pass() {
  folding_.reserve(fresh_.size());
  for (auto& [rid, entry] : fresh_) folding_.push_back(Item{rid, std::move(entry)});
  std::sort(folding_.begin(), folding_.end(), by_rid);
  fresh_.clear();
  fresh_bytes_ = 0;
  at_ = 0;
  through_ = last_;
  erased_at_once_ = (through_ - oldest_) / erase_steps;
}

FoldPlan::Step FoldPlan::next(std::size_t rows_max) {
  Step step;
  if (through_ == 0) {
    if (fresh_bytes_ < pass_bytes_ || last_ == 0) return step;
    begin_pass();
  }
  if (at_ < folding_.size())
    step.rows = std::span(folding_).subspan(at_, std::min(rows_max, folding_.size() - at_));
  else
    step.erase_through = std::min(through_, oldest_ + erased_at_once_);
  return step;
}

void FoldPlan::done(const Step& step) {
  at_ += step.rows.size();
  if (step.erase_through == 0) return;
  oldest_ = step.erase_through + 1;
  if (step.erase_through < through_) return;
  folding_.clear();
  at_ = 0;
  if (std::exchange(through_, 0) == last_) oldest_ = last_ = 0;
}

std::vector<FoldPlan::Item> FoldPlan::rest() const {
  std::vector<Item> fresh;
  fresh.reserve(fresh_.size());
  for (const auto& [rid, entry] : fresh_) fresh.push_back(Item{rid, entry});
  std::sort(fresh.begin(), fresh.end(), by_rid);
  std::vector<Item> items(folding_.size() - at_ + fresh.size());
  std::merge(folding_.begin() + static_cast<std::ptrdiff_t>(at_), folding_.end(), fresh.begin(),
             fresh.end(), items.begin(), by_rid);
  return items;
}

void FoldPlan::clear() {
  fresh_.clear();
  folding_.clear();
  fresh_bytes_ = at_ = 0;
  oldest_ = last_ = through_ = 0;
}

}  // namespace reeve::tasks::detail
