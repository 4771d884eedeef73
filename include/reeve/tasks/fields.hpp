// JSON values and the extra fields of a task record, kept as checked JSON text.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace reeve::tasks {

/// One JSON value as text that has been checked: strict RFC 8259, valid UTF-8, at most 32 levels
/// deep.
///
/// A result or a field travels as text so that a record is written, read and sent without a parse.
class Json {
 public:
  Json() : text_("null") {}

  /// Errors: TaskError(invalid_argument) that names the position of the fault.
  static Json parse(std::string_view text);
  static Json string(std::string_view value);  ///< Errors: invalid UTF-8.
  static Json number(double value);            ///< Errors: NaN or infinite.
  static Json number(std::int64_t value);
  static Json boolean(bool value);

  const std::string& text() const noexcept { return text_; }
  friend bool operator==(const Json&, const Json&) = default;

 private:
  friend class Fields;
  explicit Json(std::string checked) : text_(std::move(checked)) {}
  std::string text_;
};

/// The extra fields of a record: a JSON object whose member names are unique.
///
///   Fields f;  f.set("processed_items", 10).set("model", "biomedlm");
class Fields {
 public:
  Fields() : text_("{}") {}
  Fields(const Fields&) = default;
  Fields(Fields&&) = default;
  Fields& operator=(const Fields&) = default;
  Fields& operator=(Fields&&) = default;

  /// Errors: TaskError(invalid_argument): not a JSON object, a name twice, too deep.
  static Fields parse(std::string_view text);

  /// Sets or replaces one member. Errors: invalid UTF-8, NaN, a name that is empty or over 256
  /// bytes.
  Fields& set(std::string_view name, const Json& value);
  Fields& set(std::string_view name, std::string_view value);
  Fields& set(std::string_view name, const char* value) {
    return set(name, std::string_view(value));
  }
  template <std::integral T>
  Fields& set(std::string_view name, T value) {
    if constexpr (std::same_as<T, bool>)
      return set(name, Json::boolean(value));
    else
      return set(name, Json::number(static_cast<std::int64_t>(value)));
  }
  template <std::floating_point T>
  Fields& set(std::string_view name, T value) {
    return set(name, Json::number(static_cast<double>(value)));
  }
  /// Adds or replaces every member of `other`.
  Fields& merge(const Fields& other);
  Fields& erase(std::string_view name);

  bool empty() const noexcept { return text_.size() == 2; }
  /// The member's JSON text ("10", "\"biomedlm\""), or an empty view. Cost: O(size of the object).
  std::string_view get(std::string_view name) const;
  /// The whole object as JSON text.
  const std::string& text() const noexcept { return text_; }
  operator Json() const { return Json(text_); }  // NOLINT: an object is a value
  friend bool operator==(const Fields&, const Fields&) = default;

 private:
  std::string text_;
};

}  // namespace reeve::tasks
