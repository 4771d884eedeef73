// The two kinds of workers and their number, as text and as values.
#include <reeve/manager/executor_type.hpp>

#include <fmt/format.h>

#include <reeve/base/error.hpp>

namespace reeve {

std::string_view to_string(ExecutorType type) noexcept {
  return type == ExecutorType::process ? "process" : "thread";
}

ExecutorType parse_executor_type(std::string_view text) {
  if (text == "process") return ExecutorType::process;
  if (text == "thread") return ExecutorType::thread;
  throw ConfigError(
      fmt::format("executor_type must be 'process' or 'thread', got '{}'", text.substr(0, 40)));
}

Isolation isolation_of(ExecutorType type) noexcept {
  return type == ExecutorType::process ? Isolation::process : Isolation::thread;
}

std::size_t JobCount::checked() const {
  if (value_ <= 0) throw ConfigError(fmt::format("n_jobs must be positive, got {}", value_));
  return static_cast<std::size_t>(value_);
}

}  // namespace reeve
