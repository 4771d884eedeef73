// A strict scanner over JSON text: checks it and finds the members of an object without building a
// tree.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace reeve::tasks::detail {

inline constexpr int json_depth_max = 32;

/// Position of the first fault, or nothing when `text` is exactly one JSON value (RFC 8259).
std::optional<std::size_t> find_json_fault(std::string_view text);

struct JsonMember {
  std::string name;        ///< unescaped
  std::string_view value;  ///< its text
};
/// The members of a checked object, in order. Preconditions: `object` passed find_json_fault.
std::vector<JsonMember> members_of(std::string_view object);

/// The value of a checked JSON string, unescaped.
std::string unquote(std::string_view quoted);
/// Appends `value` as a JSON string. Preconditions: valid UTF-8.
void append_quoted(std::string& out, std::string_view value);

/// RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_valid_utf8(std::string_view text) noexcept;

}  // namespace reeve::tasks::detail
