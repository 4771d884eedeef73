// Json and Fields: checked JSON text.
#include <reeve/tasks/fields.hpp>

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

}  // namespace

Json Json::parse(std::string_view text) {
  check(text);
  return Json(std::string(text));
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
  if (empty()) return *this = other;
  const auto news = detail::members_of(other.text_);
  std::unordered_set<std::string_view> replaced;
  for (const auto& member : news) replaced.insert(member.name);
  std::string merged = "{";
  auto add = [&merged](const detail::JsonMember& member) {
    if (merged.size() > 1) merged += ',';
    detail::append_quoted(merged, member.name);
    merged += ':';
    merged += member.value;
  };
  for (const auto& member : detail::members_of(text_))
    if (!replaced.contains(member.name)) add(member);
  for (const auto& member : news) add(member);
  merged += '}';
  text_ = std::move(merged);
  return *this;
}

Fields& Fields::erase(std::string_view name) {
  if (get(name).empty()) return *this;
  std::string kept = "{";
  for (const auto& member : detail::members_of(text_)) {
    if (member.name == name) continue;
    if (kept.size() > 1) kept += ',';
    detail::append_quoted(kept, member.name);
    kept += ':';
    kept += member.value;
  }
  kept += '}';
  text_ = std::move(kept);
  return *this;
}

std::string_view Fields::get(std::string_view name) const {
  if (empty()) return {};
  for (const auto& member : detail::members_of(text_))
    if (member.name == name) return member.value;
  return {};
}

}  // namespace reeve::tasks
