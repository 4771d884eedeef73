// The throttle between work that reports and the record of its attempt.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <mutex>
#include <optional>
#include <reeve/tasks/tracking.hpp>

namespace reeve::tasks {

/// Lets reports through at a bounded rate. What is held back is written when the interval is over,
/// or by `finish`.
///
/// Lifetime: sinks keep it alive beyond the attempt; `finish` cuts it off from store and context.
/// Threads:  any.
struct ProgressSink::State : std::enable_shared_from_this<ProgressSink::State> {
  State(boost::asio::any_io_executor executor, TaskStore* s, std::string i, std::uint32_t a,
        int per_second)
      : id(std::move(i)),
        attempt(a),
        interval(std::chrono::nanoseconds{std::chrono::seconds{1}} / per_second),
        store(s),
        timer(std::in_place, std::move(executor)) {}

  void report(double percent, std::string_view note);
  void finish() noexcept;

  const std::string id;
  const std::uint32_t attempt;

 private:
  // Mutex held.
  void post();
  void arm();

  const std::chrono::nanoseconds interval;
  std::mutex mutex;
  TaskStore* store;
  std::optional<boost::asio::steady_timer> timer;
  std::chrono::steady_clock::time_point last{};
  std::optional<double> held;
  std::string held_note;
  bool armed = false;
};

/// The sink of one attempt for as long as it lasts.
class SinkScope {
 public:
  explicit SinkScope(std::shared_ptr<ProgressSink::State> state) : state_(std::move(state)) {}
  SinkScope(const SinkScope&) = delete;
  SinkScope& operator=(const SinkScope&) = delete;
  ~SinkScope() { state_->finish(); }
  ProgressSink sink() const { return ProgressSink(state_); }

 private:
  std::shared_ptr<ProgressSink::State> state_;
};

}  // namespace reeve::tasks
