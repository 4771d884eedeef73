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

/// Where the value that begins at `at` ends; in text that is no JSON, anywhere from `at` to its
/// end.
std::size_t end_of_value(std::string_view text, std::size_t at) noexcept;

/// Calls `f(name, value)` for each member of an object as Fields writes it: names still quoted, in
/// the one form that append_quoted gives, and nothing between the members. Cost: no allocation.
template <class F>
void each_member(std::string_view object, F f) {
  for (std::size_t at = 1; at + 1 < object.size();) {
    const std::size_t colon = end_of_value(object, at);
    if (colon + 1 >= object.size()) return;
    const std::size_t end = end_of_value(object, colon + 1);
    f(object.substr(at, colon - at), object.substr(colon + 1, end - colon - 1));
    at = end + 1;
  }
}

/// The value of a checked JSON string, unescaped.
std::string unquote(std::string_view quoted);
/// Appends `value` as a JSON string. Preconditions: valid UTF-8.
void append_quoted(std::string& out, std::string_view value);

/// The members of `object`, and those of `changes` instead of its own of the same name, behind
/// them. Preconditions: both as Fields writes them.
std::string merge_objects(std::string_view object, std::string_view changes);

/// RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_valid_utf8(std::string_view text) noexcept;

}  // namespace reeve::tasks::detail
