// Holds reports back to a bounded rate; the last one is never dropped.
#include "tasks/progress_sink.hpp"

#include "tasks/json_text.hpp"

namespace reeve::tasks {

void ProgressSink::operator()(double percent, std::string_view note) const noexcept {
  try {
    if (state_) state_->report(percent, note);
  } catch (const std::exception&) {
    // No memory for a report: the next one tells more.
  }
}

std::uint32_t ProgressSink::attempt() const noexcept {
  return state_ ? state_->attempt : 0;
}

void ProgressSink::State::report(double percent, std::string_view note) {
  const std::lock_guard lock(mutex);
  if (store == nullptr) return;
  // The store would refuse them, and with them a better one that is held.
  if (!(percent >= held.value_or(0) && percent <= 100)) return;
  held = percent;
  if (!note.empty()) held_note = note;
  if (std::chrono::steady_clock::now() - last < interval && percent < 100)
    arm();
  else
    post();
}

void ProgressSink::State::post() {
  UpdateOptions options;
  options.attempt = attempt;
  Fields fields;
  if (!held_note.empty() && detail::is_valid_utf8(held_note)) fields.set("note", held_note);
  store->post_progress(id, *held, std::move(fields), options);
  last = std::chrono::steady_clock::now();
  held.reset();
  held_note.clear();
}

void ProgressSink::State::arm() {
  if (std::exchange(armed, true)) return;
  timer->expires_at(last + interval);
  timer->async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (!self || error) return;
    const std::lock_guard lock(self->mutex);
    self->armed = false;
    if (self->store != nullptr && self->held) self->post();
  });
}

void ProgressSink::State::finish() noexcept {
  const std::lock_guard lock(mutex);
  try {
    if (store != nullptr && held) post();
  } catch (const std::exception&) {
    // As above.
  }
  store = nullptr;
  timer.reset();
}

}  // namespace reeve::tasks
