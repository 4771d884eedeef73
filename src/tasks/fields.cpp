// Json and Fields: checked JSON text.
#include <reeve/tasks/fields.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <reeve/tasks/error.hpp>
#include <unordered_set>

#include "tasks/json_text.hpp"

namespace reeve::tasks {
namespace {

[[noreturn]] void refuse(const std::string& what) {
  throw TaskError(TaskErrc::invalid_argument, what);
}

void check(std::string_view text) {
  const auto fault = detail::find_json_fault(text);
  if (fault)
    refuse("the text is not one JSON value: fault at byte " + std::to_string(*fault) + " of " +
           std::to_string(text.size()) + "; give strict JSON in UTF-8, at most 32 levels deep");
}

void check_name(std::string_view name) {
  if (name.empty() || name.size() > 256 || !detail::is_valid_utf8(name))
    refuse("a field name has " + std::to_string(name.size()) +
           " bytes or is not UTF-8; it may have 1 to 256 bytes of valid UTF-8");
}

std::string quote(std::string_view name) {
  std::string quoted;
  detail::append_quoted(quoted, name);
  return quoted;
}

/// `name` is quoted already.
void append_member(std::string& object, std::string_view name, std::string_view value) {
  if (object.size() > 1) object += ',';
  object += name;
  object += ':';
  object += value;
}

}  // namespace

Json Json::parse(std::string_view text) {
  check(text);
  const auto begin = text.find_first_not_of(" \t\r\n");
  const auto last = text.find_last_not_of(" \t\r\n");
  return Json(std::string(text.substr(begin, last - begin + 1)));
}

Json Json::string(std::string_view value) {
  if (!detail::is_valid_utf8(value)) refuse("a JSON string must be valid UTF-8");
  std::string text;
  text.reserve(value.size() + 2);
  detail::append_quoted(text, value);
  return Json(std::move(text));
}

Json Json::number(double value) {
  if (!std::isfinite(value)) refuse("JSON has no NaN and no infinity; give a finite number");
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  return Json(std::string(buffer, end));
}

Json Json::number(std::int64_t value) {
  return Json(std::to_string(value));
}
Json Json::boolean(bool value) {
  return Json(value ? "true" : "false");
}

Fields Fields::parse(std::string_view text) {
  check(text);
  const auto begin = text.find_first_not_of(" \t\r\n");
  if (text[begin] != '{') refuse("fields are a JSON object: the text must start with '{'");
  Fields fields;
  fields.text_ = "{";
  std::unordered_set<std::string> seen;
  for (auto& member : detail::members_of(text)) {
    check_name(member.name);
    if (fields.text_.size() > 1) fields.text_ += ',';
    detail::append_quoted(fields.text_, member.name);
    fields.text_ += ':';
    fields.text_ += member.value;
    if (!seen.insert(std::move(member.name)).second) refuse("a field name appears twice");
  }
  fields.text_ += '}';
  return fields;
}

Fields& Fields::set(std::string_view name, const Json& value) {
  check_name(name);
  erase(name);
  text_.pop_back();
  if (text_.size() > 1) text_ += ',';
  detail::append_quoted(text_, name);
  text_ += ':';
  text_ += value.text_;
  text_ += '}';
  return *this;
}

Fields& Fields::set(std::string_view name, std::string_view value) {
  return set(name, Json::string(value));
}

Fields& Fields::merge(const Fields& other) {
  if (other.empty()) return *this;
  text_ = detail::merge_objects(text_, other.text_);
  return *this;
}

Fields& Fields::erase(std::string_view name) {
  if (get(name).empty()) return *this;
  const std::string quoted = quote(name);
  std::string kept(1, '{');
  detail::each_member(text_, [&](std::string_view n, std::string_view value) {
    if (n != quoted) append_member(kept, n, value);
  });
  kept += '}';
  text_ = std::move(kept);
  return *this;
}

std::string_view Fields::get(std::string_view name) const {
  if (empty()) return {};
  const std::string quoted = quote(name);
  std::string_view found;
  detail::each_member(text_, [&](std::string_view n, std::string_view value) {
    if (n == quoted) found = value;
  });
  return found;
}

namespace detail {

std::string merge_objects(std::string_view object, std::string_view changes) {
  std::array<std::string_view, 8> few;
  std::size_t count = 0;
  std::unordered_set<std::string_view> many;
  each_member(changes, [&](std::string_view name, std::string_view) {
    if (count < few.size())
      few[count++] = name;
    else
      many.insert(name);
  });
  std::string merged(1, '{');
  each_member(object, [&](std::string_view name, std::string_view value) {
    const auto end = few.begin() + static_cast<std::ptrdiff_t>(count);
    if (std::find(few.begin(), end, name) != end) return;
    if (!many.empty() && many.contains(name)) return;
    if (merged.size() == 1) merged.reserve(object.size() + changes.size());
    append_member(merged, name, value);
  });
  if (merged.size() == 1) return std::string(changes);  // nothing was kept
  each_member(changes, [&](std::string_view name, std::string_view value) {
    append_member(merged, name, value);
  });
  merged += '}';
  return merged;
}

}  // namespace detail

}  // namespace reeve::tasks
