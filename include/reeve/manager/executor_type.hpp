// What kind of workers a managed pool has, and how many: the two values every caller names.
#pragma once

#include <cstdint>
#include <limits>
#include <reeve/pool/config.hpp>
#include <string_view>
#include <type_traits>
#include <utility>

namespace reeve {

/// Where the workers of a managed pool run.
enum class ExecutorType { process, thread };

std::string_view to_string(ExecutorType type) noexcept;

/// Reads "process" or "thread".
/// Errors: ConfigError: executor_type must be 'process' or 'thread', got X.
ExecutorType parse_executor_type(std::string_view text);

Isolation isolation_of(ExecutorType type) noexcept;

/// A number of workers, made from any integer: a negative one is kept, so that the error can name
/// it. Unsigned values beyond the range become the largest one.
class JobCount {
 public:
  template <class T>
    requires(std::is_integral_v<T> && !std::is_same_v<T, bool>)
  constexpr JobCount(T count) noexcept  // NOLINT: an implicit conversion is the point
      : value_(std::in_range<std::int64_t>(count) ? static_cast<std::int64_t>(count)
                                                  : std::numeric_limits<std::int64_t>::max()) {}

  constexpr std::int64_t value() const noexcept { return value_; }

  /// Errors: ConfigError: n_jobs must be positive, got N.
  std::size_t checked() const;

 private:
  std::int64_t value_;
};

}  // namespace reeve
