// Events as JSON lines through an asynchronous spdlog logger with a queue and a thread of its own.
#include <fmt/format.h>
#include <spdlog/async.h>
#include <spdlog/sinks/base_sink.h>

#include <cerrno>
#include <cstdio>
#include <reeve/audit/sink.hpp>
#include <reeve/base/error.hpp>

namespace reeve::audit {
namespace {

struct CloseFile {
  void operator()(std::FILE* file) const noexcept { std::fclose(file); }
};

// Writes payload and newline, nothing else, and counts what it has handled, written or not.
class LineFile final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit LineFile(const JsonlConfig& config) {
    file_.reset(std::fopen(config.path.c_str(), config.append ? "ae" : "we"));
    if (!file_) throw_errno("opening the audit file " + config.path.string());
  }

  std::atomic<std::uint64_t> handled{0};
  std::atomic<std::uint64_t> failed{0};

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    const std::size_t size = message.payload.size();
    const bool written = std::fwrite(message.payload.data(), 1, size, file_.get()) == size &&
                         std::fputc('\n', file_.get()) != EOF;
    if (!written) failed.fetch_add(1, std::memory_order_relaxed);
    handled.fetch_add(1, std::memory_order_release);
    handled.notify_all();
  }
  void flush_() override {
    if (std::fflush(file_.get()) != 0) failed.fetch_add(1, std::memory_order_relaxed);
  }

 private:
  std::unique_ptr<std::FILE, CloseFile> file_;
};

std::size_t checked_queue(std::size_t lines) {
  constexpr std::size_t lines_max = 1 << 22;
  if (lines == 0 || lines > lines_max) {
    throw ConfigError(fmt::format(
        "queue_line_count_max is {}; the audit queue may hold 1 to {} lines", lines, lines_max));
  }
  return lines;
}

spdlog::async_overflow_policy policy_of(Overflow overflow) {
  return overflow == Overflow::block ? spdlog::async_overflow_policy::block
                                     : spdlog::async_overflow_policy::overrun_oldest;
}

}  // namespace

struct JsonlSink::State {
  explicit State(const JsonlConfig& config)
      : file(std::make_shared<LineFile>(config)),
        pool(std::make_shared<spdlog::details::thread_pool>(
            checked_queue(config.queue_line_count_max), 1)),
        logger(std::make_shared<spdlog::async_logger>("reeve-audit", file, pool,
                                                      policy_of(config.overflow))) {
    logger->set_level(spdlog::level::info);
    logger->set_error_handler(
        [this](const std::string&) { failed.fetch_add(1, std::memory_order_relaxed); });
  }

  std::atomic<std::uint64_t> failed{0};
  std::shared_ptr<LineFile> file;
  std::shared_ptr<spdlog::details::thread_pool> pool;
  std::shared_ptr<spdlog::async_logger> logger;
  std::mutex mutex;          // posting against flushing
  std::uint64_t posted = 0;  // under mutex
};

JsonlSink::JsonlSink(const JsonlConfig& config) : state_(std::make_unique<State>(config)) {}

JsonlSink::~JsonlSink() {
  state_->logger.reset();
  state_->pool.reset();  // writes what is queued and joins
}

void JsonlSink::write(const Event& event) noexcept {
  try {
    const std::string line = to_jsonl(event);
    const std::lock_guard lock(state_->mutex);
    state_->logger->log(spdlog::level::info, spdlog::string_view_t(line.data(), line.size()));
    ++state_->posted;
  } catch (...) {
    state_->failed.fetch_add(1, std::memory_order_relaxed);
  }
}

void JsonlSink::flush() {
  const std::lock_guard lock(state_->mutex);
  // Nobody posts now, so the count of dropped lines stands still and every other line gets written.
  const std::uint64_t failed = state_->failed.load(std::memory_order_relaxed);
  const std::uint64_t expected = state_->posted - std::min(state_->posted, dropped() + failed);
  for (;;) {
    const std::uint64_t handled = state_->file->handled.load(std::memory_order_acquire);
    if (handled >= expected) break;
    state_->file->handled.wait(handled, std::memory_order_acquire);
  }
  state_->file->flush();
}

std::uint64_t JsonlSink::dropped() const noexcept {
  return state_->pool->overrun_counter();
}

std::uint64_t JsonlSink::failed() const noexcept {
  return state_->failed.load(std::memory_order_relaxed) +
         state_->file->failed.load(std::memory_order_relaxed);
}

}  // namespace reeve::audit
