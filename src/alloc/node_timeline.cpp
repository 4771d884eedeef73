// Free nodes step by step.
#include "alloc/node_timeline.hpp"

#include <algorithm>

namespace reeve::alloc::detail {

namespace {

std::int64_t processors_of(std::span<const NodeShare> shares) {
  std::int64_t sum = 0;
  for (const auto& s : shares) sum += s.processors;
  return sum;
}

}  // namespace

void NodeTimeline::reset(Time now, const FreeNodes& free) {
  while (!steps_.empty()) {
    spare_.push_back(std::move(steps_.back()));
    steps_.pop_back();
  }
  insert(0, now);
  steps_[0].free = free;
  steps_[0].processors = 0;
  for (const auto& n : free) steps_[0].processors += n.processors;
}

// A step that has what the one before it has.
void NodeTimeline::insert(std::size_t at, Time when) {
  Step step;
  if (!spare_.empty()) {
    step = std::move(spare_.back());
    spare_.pop_back();
  }
  step.at = when;
  if (at > 0) {
    step.processors = steps_[at - 1].processors;
    step.free = steps_[at - 1].free;
  }
  steps_.insert(steps_.begin() + static_cast<std::ptrdiff_t>(at), std::move(step));
}

void NodeTimeline::add_end(Time at, std::span<const NodeShare> shares) {
  if (steps_.back().at < at) insert(steps_.size(), at);
  give_shares(steps_.back().free, shares);
  steps_.back().processors += processors_of(shares);
}

void NodeTimeline::forget_before(Time now) {
  std::size_t gone = 0;
  while (gone + 1 < steps_.size() && steps_[gone + 1].at <= now) ++gone;
  for (std::size_t i = 0; i < gone; ++i) spare_.push_back(std::move(steps_[i]));
  steps_.erase(steps_.begin(), steps_.begin() + static_cast<std::ptrdiff_t>(gone));
  steps_[0].at = std::max(steps_[0].at, now);
}

std::size_t NodeTimeline::step_of(Time at) const {
  const auto after = std::upper_bound(steps_.begin(), steps_.end(), at,
                                      [](Time t, const Step& s) { return t < s.at; });
  return after == steps_.begin() ? 0 : static_cast<std::size_t>(after - steps_.begin()) - 1;
}

std::optional<NodeTimeline::Place> NodeTimeline::earliest_fit(Time from, Time latest, Time duration,
                                                              const NodeFit::Wanted& wanted) const {
  const auto room_in = [&](const Step& step) {
    return step.processors >= wanted.processors && nodes_.place(wanted, step.free, nullptr);
  };
  for (std::size_t s = step_of(from); s < steps_.size(); ++s) {
    const Time start = std::max(from, steps_[s].at);
    if (start > latest) return std::nullopt;
    if (!room_in(steps_[s])) continue;
    window_ = steps_[s].free;
    std::size_t i = s + 1;
    bool fits = true;
    for (; fits && i < steps_.size() && steps_[i].at - start < duration; ++i) {
      for (std::size_t n = 0; n < window_.size(); ++n) {
        window_[n].processors = std::min(window_[n].processors, steps_[i].free[n].processors);
        window_[n].memory = std::min(window_[n].memory, steps_[i].free[n].memory);
      }
      fits = nodes_.place(wanted, window_, nullptr);
    }
    if (fits) {
      Place place{start, {}};
      nodes_.place(wanted, window_, &place.shares);
      return place;
    }
    if (!room_in(steps_[i - 1])) s = i - 1;  // no start before its end will do
  }
  return std::nullopt;
}

void NodeTimeline::change(Time from, Time to, std::span<const NodeShare> shares, bool take) {
  if (from >= to) return;
  const auto first = cut(from);
  const auto last = cut(to);
  const auto processors = processors_of(shares);
  for (auto i = first; i < last; ++i) {
    if (take) {
      take_shares(steps_[i].free, shares);
    } else {
      give_shares(steps_[i].free, shares);
    }
    steps_[i].processors += take ? -processors : processors;
  }
  merge(last);
  merge(first);
}

// Joins a step with an equal one before it.
void NodeTimeline::merge(std::size_t step) {
  if (step == 0 || step >= steps_.size()) return;
  if (steps_[step].processors != steps_[step - 1].processors ||
      steps_[step].free != steps_[step - 1].free)
    return;
  spare_.push_back(std::move(steps_[step]));
  steps_.erase(steps_.begin() + static_cast<std::ptrdiff_t>(step));
}

// The step that begins at `at`, which it now does. Before all steps it is the first.
std::size_t NodeTimeline::cut(Time at) {
  const auto i =
      static_cast<std::size_t>(std::lower_bound(steps_.begin(), steps_.end(), at,
                                                [](const Step& s, Time t) { return s.at < t; }) -
                               steps_.begin());
  if (i == 0 || (i < steps_.size() && steps_[i].at == at)) return i;
  insert(i, at);
  return i;
}

}  // namespace reeve::alloc::detail
