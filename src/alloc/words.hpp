// What the readers of text share: words, and memory that does not overflow.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

namespace reeve::alloc::detail {

/// Takes the next word off the front of `rest`; empty at the end.
inline std::string_view next_word(std::string_view& rest) {
  rest.remove_prefix(std::min(rest.find_first_not_of(" \t\r"), rest.size()));
  const auto word = rest.substr(0, rest.find_first_of(" \t\r"));
  rest.remove_prefix(word.size());
  return word;
}

/// The whole number that `text` is, if it is one.
inline std::optional<std::int64_t> whole_number(std::string_view text) {
  std::int64_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return n;
}

/// More than any counted memory may be asked for; larger products become it.
inline constexpr std::int64_t most_memory = INT64_MAX - 1;

inline std::int64_t memory_times(std::int64_t memory, std::int64_t times) {
  std::int64_t product = 0;
  return __builtin_mul_overflow(memory, times, &product) ? most_memory
                                                         : std::min(product, most_memory);
}

}  // namespace reeve::alloc::detail
