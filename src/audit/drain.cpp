// Carries events from the ring to the sinks, one thread at a time.
#include <array>
#include <reeve/audit/sink.hpp>

namespace reeve::audit {

void Drain::add(std::shared_ptr<Sink> sink) {
  const std::lock_guard lock(sinks_mutex_);
  sinks_.push_back(std::move(sink));
}

void Drain::run() noexcept {
  if (requests_.fetch_add(1, std::memory_order_acq_rel) != 0) return;
  std::uint64_t seen = 1;
  do {
    seen = requests_.load(std::memory_order_acquire);
    carry();
  } while (!requests_.compare_exchange_strong(seen, 0, std::memory_order_acq_rel));
}

void Drain::carry() noexcept {
  const std::lock_guard lock(sinks_mutex_);
  if (sinks_.empty()) return;
  std::array<Event, 64> batch;
  for (;;) {
    const std::size_t count = ring_.copy_since(done_, batch.data(), batch.size());
    if (count == 0) return;
    for (std::size_t i = 0; i < count; ++i) {
      const Event& event = batch[i];
      const std::uint64_t gap = event.sequence - done_ - 1;
      if (gap != 0) lost_.fetch_add(gap, std::memory_order_relaxed);
      for (const auto& sink : sinks_) {
        if (gap != 0) sink->lost(gap);
        sink->write(event);
      }
      done_ = event.sequence;
    }
  }
}

void FunctionSink::write(const Event& event) noexcept {
  try {
    function_(event);
  } catch (...) {  // NOLINT: see the header
  }
}

}  // namespace reeve::audit
