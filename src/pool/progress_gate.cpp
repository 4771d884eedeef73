// The gate before a progress sink.
#include <reeve/pool/progress_gate.hpp>

#include <utility>

namespace reeve::detail {

void ProgressGate::tell(std::uint64_t number, double percent, std::string_view note) {
  struct Visit {
    explicit Visit(unsigned& inside) : inside_(++inside) {}
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;
    ~Visit() { --inside_; }
    unsigned& inside_;
  };
  const std::lock_guard lock(mutex_);
  if (closed_ || failure_ || !sink_ || number <= told_) return;
  told_ = number;
  const Visit visit(inside_);
  try {
    sink_(percent, note);
  } catch (...) {
    failure_ = std::current_exception();
    throw;
  }
}

std::exception_ptr ProgressGate::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

void ProgressGate::close() noexcept {
  RunLimits::ProgressSink gone;  // ends after the lock
  const std::lock_guard lock(mutex_);
  closed_ = true;
  if (inside_ == 0) gone.swap(sink_);
}

}  // namespace reeve::detail
