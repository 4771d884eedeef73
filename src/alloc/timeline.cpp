// A treap of steps with pending additions.
#include "reeve/alloc/timeline.hpp"

#include <algorithm>

namespace reeve::alloc {

Timeline::Timeline(std::int64_t capacity) : capacity_(capacity) {
  root_ = make(INT64_MIN, capacity);
}

std::uint32_t Timeline::make(Time at, std::int64_t value) {
  random_ ^= random_ << 13;
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  const Node node{at, value, value, value, 0, nil, nil, static_cast<std::uint32_t>(random_ >> 32)};
  if (free_nodes_.empty()) {
    nodes_.push_back(node);
    return static_cast<std::uint32_t>(nodes_.size() - 1);
  }
  const auto t = free_nodes_.back();
  free_nodes_.pop_back();
  nodes_[t] = node;
  return t;
}

void Timeline::apply(std::uint32_t t, std::int64_t d) {
  Node& n = nodes_[t];
  n.value += d;
  n.least += d;
  n.most += d;
  n.add += d;
}

void Timeline::push(std::uint32_t t) {
  Node& n = nodes_[t];
  if (n.add == 0) return;
  if (n.left != nil) apply(n.left, n.add);
  if (n.right != nil) apply(n.right, n.add);
  n.add = 0;
}

void Timeline::pull(std::uint32_t t) {
  Node& n = nodes_[t];
  n.least = n.most = n.value;
  for (auto child : {n.left, n.right}) {
    if (child == nil) continue;
    n.least = std::min(n.least, nodes_[child].least + n.add);
    n.most = std::max(n.most, nodes_[child].most + n.add);
  }
}

void Timeline::split(std::uint32_t t, Time at, std::uint32_t& left, std::uint32_t& right) {
  if (t == nil) {
    left = right = nil;
    return;
  }
  push(t);
  if (nodes_[t].at < at) {
    left = t;
    split(nodes_[t].right, at, nodes_[t].right, right);
  } else {
    right = t;
    split(nodes_[t].left, at, left, nodes_[t].left);
  }
  pull(t);
}

std::uint32_t Timeline::merge(std::uint32_t left, std::uint32_t right) {
  if (left == nil) return right;
  if (right == nil) return left;
  if (nodes_[left].priority > nodes_[right].priority) {
    push(left);
    nodes_[left].right = merge(nodes_[left].right, right);
    pull(left);
    return left;
  }
  push(right);
  nodes_[right].left = merge(left, nodes_[right].left);
  pull(right);
  return right;
}

void Timeline::insert(std::uint32_t& t, std::uint32_t fresh) {
  if (t != nil && nodes_[t].priority > nodes_[fresh].priority) {
    push(t);
    insert(nodes_[fresh].at < nodes_[t].at ? nodes_[t].left : nodes_[t].right, fresh);
    pull(t);
    return;
  }
  split(t, nodes_[fresh].at, nodes_[fresh].left, nodes_[fresh].right);
  t = fresh;
  pull(t);
}

void Timeline::erase(std::uint32_t& t, Time at) {
  push(t);
  if (nodes_[t].at == at) {
    free_nodes_.push_back(t);
    t = merge(nodes_[t].left, nodes_[t].right);
    return;
  }
  erase(at < nodes_[t].at ? nodes_[t].left : nodes_[t].right, at);
  pull(t);
}

// Keys of the subtree lie in [low, high); adds to those in [from, to).
void Timeline::add_range(std::uint32_t t, Time low, Time high, Time from, Time to, std::int64_t d) {
  if (t == nil || high <= from || low >= to) return;
  if (from <= low && high <= to) return apply(t, d);
  Node& n = nodes_[t];
  if (from <= n.at && n.at < to) n.value += d;
  add_range(n.left, low, n.at, from, to, d);
  add_range(n.right, n.at + 1, high, from, to, d);
  pull(t);
}

bool Timeline::has(Time at) const {
  for (auto t = root_; t != nil;) {
    if (nodes_[t].at == at) return true;
    t = at < nodes_[t].at ? nodes_[t].left : nodes_[t].right;
  }
  return false;
}

void Timeline::mark(Time at) {
  if (has(at)) return;
  insert(root_, make(at, free_at(at)));
}

void Timeline::unmark(Time at) {
  if (at != INT64_MIN && has(at) && free_at(at) == free_at(at - 1)) erase(root_, at);
}

void Timeline::change(Time from, Time to, std::int64_t d) {
  from = std::max(from, horizon_);
  if (from >= to) return;
  // Before the horizon there is one step, which begins at the smallest time.
  const Time begin = from == horizon_ ? INT64_MIN : from;
  if (begin != INT64_MIN) mark(begin);
  if (to != forever) mark(to);
  add_range(root_, INT64_MIN, forever, begin, to, d);
  if (begin != INT64_MIN) unmark(begin);
  if (to != forever) unmark(to);
}

std::int64_t Timeline::free_at(Time at) const {
  std::int64_t pending = 0;
  std::int64_t value = capacity_;
  for (auto t = root_; t != nil;) {
    const Node& n = nodes_[t];
    if (n.at <= at) value = n.value + pending;
    pending += n.add;
    t = n.at <= at ? n.right : n.left;
  }
  return value;
}

// The first step at or after `from` whose free is below (or not below) `amount`.
std::optional<Time> Timeline::first(std::uint32_t t, Time from, std::int64_t amount, bool below,
                                    std::int64_t pending) const {
  if (t == nil) return std::nullopt;
  const Node& n = nodes_[t];
  if (below ? n.least + pending >= amount : n.most + pending < amount) return std::nullopt;
  const auto inside = pending + n.add;
  if (from < n.at)
    if (auto found = first(n.left, from, amount, below, inside)) return found;
  if (n.at >= from && (n.value + pending < amount) == below) return n.at;
  return first(n.right, from, amount, below, inside);
}

std::optional<Time> Timeline::first_below(Time from, std::int64_t amount) const {
  if (free_at(from) < amount) return from;
  return first(root_, from, amount, true, 0);
}

std::int64_t Timeline::min_free(Time from, Time to) const {
  std::int64_t least = free_at(from);
  struct Visit {
    std::uint32_t t;
    std::int64_t pending;
    Time low;
    Time high;
  };
  Visit stack[128];
  std::size_t depth = 0;
  stack[depth++] = {root_, 0, INT64_MIN, forever};
  while (depth > 0) {
    const auto [t, pending, low, high] = stack[--depth];
    if (t == nil || high <= from || low >= to) continue;
    const Node& n = nodes_[t];
    if (n.least + pending >= least) continue;
    if (from <= low && high <= to) {
      least = n.least + pending;
      continue;
    }
    if (from <= n.at && n.at < to) least = std::min(least, n.value + pending);
    stack[depth++] = {n.left, pending + n.add, low, n.at};
    stack[depth++] = {n.right, pending + n.add, n.at + 1, high};
  }
  return least;
}

std::optional<Time> Timeline::earliest_fit(Time from, Time duration, std::int64_t amount) const {
  std::optional<Time> start = from;
  if (free_at(from) < amount) start = first(root_, from, amount, false, 0);
  while (start) {
    const auto stop = first(root_, *start, amount, true, 0);
    if (!stop || static_cast<std::uint64_t>(*stop) - static_cast<std::uint64_t>(*start) >=
                     static_cast<std::uint64_t>(duration))
      return start;
    ++gaps_;
    start = first(root_, *stop, amount, false, 0);
  }
  return std::nullopt;
}

Timeline::Span* Timeline::find(SpanId id) {
  if (id.slot >= spans_.size()) return nullptr;
  Span& s = spans_[id.slot];
  return s.live && s.generation == id.generation ? &s : nullptr;
}

Result<SpanId> Timeline::add(Time start, Time end, std::int64_t amount) {
  if (start >= end) return Refusal{.code = Code::invalid_request, .subject = "an empty span"};
  if (amount <= 0) return Refusal{.code = Code::invalid_amount, .subject = "of a span"};
  if (const auto least = min_free(start, end); least < amount)
    return Refusal{.code = Code::busy,
                   .subject = "time",
                   .asked = amount,
                   .available = least,
                   .earliest = earliest_fit(start, end == forever ? forever : end - start, amount)};
  if (free_spans_.empty()) {
    free_spans_.push_back(static_cast<std::uint32_t>(spans_.size()));
    spans_.push_back({});
  }
  const auto slot = free_spans_.back();
  free_spans_.pop_back();
  spans_[slot] = {start, end, amount, spans_[slot].generation, true};
  change(start, end, -amount);
  return SpanId{slot, spans_[slot].generation};
}

Result<void> Timeline::remove(SpanId id) {
  Span* s = find(id);
  if (!s) return Refusal{.code = Code::unknown_reservation};
  change(s->start, s->end, s->amount);
  s->live = false;
  ++s->generation;
  free_spans_.push_back(id.slot);
  return {};
}

Result<void> Timeline::move_end(SpanId id, Time end) {
  Span* s = find(id);
  if (!s) return Refusal{.code = Code::unknown_reservation};
  if (end <= s->start) return Refusal{.code = Code::invalid_request, .subject = "an empty span"};
  if (end > s->end) {
    if (const auto least = min_free(s->end, end); least < s->amount)
      return Refusal{.code = Code::busy, .subject = "time", .asked = s->amount, .available = least};
    change(s->end, end, -s->amount);
  } else {
    change(end, s->end, s->amount);
  }
  s->end = end;
  return {};
}

Result<void> Timeline::overrun(SpanId id) {
  Span* s = find(id);
  if (!s) return Refusal{.code = Code::unknown_reservation};
  if (s->end == forever) return {};
  change(s->end, forever, -s->amount);
  s->end = forever;
  return {};
}

void Timeline::set_capacity(std::int64_t capacity) {
  apply(root_, capacity - capacity_);
  capacity_ = capacity;
}

void Timeline::drop(std::uint32_t t) {
  if (t == nil) return;
  drop(nodes_[t].left);
  drop(nodes_[t].right);
  free_nodes_.push_back(t);
}

void Timeline::forget_before(Time at) {
  if (at <= horizon_) return;
  const auto value = free_at(at);
  std::uint32_t past = nil;
  std::uint32_t rest = nil;
  split(root_, at, past, rest);
  drop(past);
  root_ = rest;
  if (has(at)) erase(root_, at);
  insert(root_, make(INT64_MIN, value));
  horizon_ = at;
}

}  // namespace reeve::alloc
