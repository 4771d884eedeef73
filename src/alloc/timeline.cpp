// Spans, and what they take from the steps.
#include "reeve/alloc/timeline.hpp"

#include <algorithm>

namespace reeve::alloc {

Timeline::Timeline(std::int64_t capacity) : leaves_(1), capacity_(capacity), leaf_runs_(1) {
  leaves_[0].count = 1;
  leaves_[0].at[0] = INT64_MIN;
  leaves_[0].value[0] = 0;
}

void Timeline::change(Time from, Time to, std::int64_t d) {
  from = std::max(from, horizon_);
  if (from >= to) return;
  // Before the horizon there is one step, which begins at the smallest time.
  const Time begin = from == horizon_ ? INT64_MIN : from;
  if (begin != INT64_MIN) mark(begin);
  if (to != forever) mark(to);
  add_range(begin, to, d);
  if (begin != INT64_MIN) unmark(begin);
  if (to != forever) unmark(to);
}

Timeline::Span* Timeline::find(SpanId id) {
  if (id.slot >= spans_.size()) return nullptr;
  Span& s = spans_[id.slot];
  return s.live && s.generation == id.generation ? &s : nullptr;
}

Result<SpanId> Timeline::add(Time start, Time end, std::int64_t amount) {
  if (start >= end) return Refusal{.code = Code::invalid_request, .subject = "an empty span"};
  if (amount <= 0)
    return Refusal{.code = Code::invalid_amount,
                   .subject = std::to_string(amount),
                   .asked = amount,
                   .detail = "of a span is not greater than 0; give 1 or more"};
  if (const auto least = min_free(start, end); least < amount)
    return Refusal{.code = Code::busy,
                   .subject = "time",
                   .asked = amount,
                   .available = least,
                   .earliest = earliest_fit(start, end == forever ? forever : end - start, amount)};
  if (free_spans_.empty()) {
    free_spans_.push_back(static_cast<std::uint32_t>(spans_.size()));
    spans_.push_back({});
    free_spans_.reserve(spans_.capacity());
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
  capacity_ = capacity;
}

void Timeline::forget_before(Time at) {
  if (at <= horizon_) return;
  forget_steps(at);
  horizon_ = at;
}

}  // namespace reeve::alloc
