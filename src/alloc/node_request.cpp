// What jobs ask of nodes: shapes, and the specification that batch systems log.
#include <algorithm>
#include <cmath>

#include "alloc/words.hpp"
#include "reeve/alloc/node_machine.hpp"

namespace reeve::alloc {

namespace {

using detail::whole_number;

constexpr std::int64_t most_processors = 1'000'000'000;

Refusal malformed(std::string_view word, std::string_view reason) {
  return {.code = Code::malformed, .subject = std::string(word).append(": ").append(reason)};
}

std::string_view take(std::string_view& rest, char end) {
  const auto word = rest.substr(0, rest.find(end));
  rest.remove_prefix(std::min(word.size() + 1, rest.size()));
  return word;
}

// A fraction counts as one.
std::optional<std::int32_t> processors_in(std::string_view text) {
  double n = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), n, std::chars_format::fixed);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  n = std::ceil(n);
  if (!(n >= 1 && n <= double(most_processors))) return std::nullopt;
  return static_cast<std::int32_t>(n);
}

std::optional<std::int64_t> memory_in(std::string_view text) {
  const auto digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const auto n = whole_number(text.substr(0, digits));
  if (!n || *n <= 0) return std::nullopt;
  std::string unit(text.substr(digits));
  std::transform(unit.begin(), unit.end(), unit.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  const std::string_view units[] = {"b", "kb", "mb", "gb", "tb"};
  const auto at = std::find(std::begin(units), std::end(units), unit);
  if (at == std::end(units)) return std::nullopt;
  return detail::memory_times(*n, std::int64_t{1} << (10 * (at - std::begin(units))));
}

Result<void> add_word(std::string_view word, NodePart& part) {
  const auto sign = word.find('=');
  const auto key = word.substr(0, sign);
  if (sign == std::string_view::npos) {
    const bool without = word.starts_with('^');
    const auto name = word.substr(without);
    if (name.empty()) return malformed(word, "a property without a name");
    Constraint c{std::string(name), without ? Constraint::Kind::absent : Constraint::Kind::exists};
    if (std::find(part.where.begin(), part.where.end(), c) == part.where.end())
      part.where.push_back(std::move(c));
    return {};
  }
  const auto value = word.substr(sign + 1);
  if (key == "ppn" || key == "ncpus") {
    const auto n = processors_in(value);
    if (!n) return malformed(word, "not a number of processors");
    part.processors = *n;
  } else if (key == "mem") {
    const auto bytes = memory_in(value);
    if (!bytes) return malformed(word, "not an amount of memory like 3gb");
    part.memory = *bytes;
  } else if (key.empty() || value.empty()) {
    return malformed(word, "a key needs a value, and a value a key");
  } else if (const auto n = whole_number(value)) {
    part.where.push_back(needs(std::string(key), *n));
  } else {
    part.where.push_back(needs(std::string(key), std::string(value)));
  }
  return {};
}

Result<NodePart> part_in(std::string_view text) {
  NodePart part;
  auto rest = text;
  const auto first = take(rest, ':');
  if (first.empty()) return malformed(text, "begins with neither a number nor the name of a node");
  if (const auto n = whole_number(first)) {
    if (*n < 1 || *n > most_processors) return malformed(first, "not a number of nodes");
    part.count = static_cast<std::int32_t>(*n);
  } else if (first.find('=') == std::string_view::npos && first[0] != '^') {
    part.where.push_back(needs("host", std::string(first)));
  } else if (auto ok = add_word(first, part); !ok) {
    return ok.refusal();
  }
  while (!rest.empty())
    if (auto ok = add_word(take(rest, ':'), part); !ok) return ok.refusal();
  return part;
}

Result<bool> flag_in(std::string_view flags) {
  bool alone = false;
  while (!flags.empty()) {
    const auto flag = take(flags, '#');
    if (flag == "excl" || flag == "exclhost") {
      alone = true;
    } else if (flag != "shared" && flag != "scatter") {
      return malformed(flag, "not a flag: excl, exclhost, shared, scatter");
    }
  }
  return alone;
}

}  // namespace

std::int64_t NodeRequest::processors() const {
  std::int64_t sum = 0;
  for (const auto& p : parts) sum += std::int64_t{p.count} * p.processors;
  return sum;
}

NodeRequest anywhere(std::int32_t size, std::int64_t memory_per_processor) {
  return {.parts = {{.count = size, .memory = memory_per_processor}}, .apart = false};
}

NodeRequest on_nodes(std::int32_t size, std::int32_t per_node, std::int64_t memory_per_processor) {
  NodeRequest request;
  const auto memory = [&](std::int32_t n) { return detail::memory_times(memory_per_processor, n); };
  if (const auto whole = size / per_node; whole > 0)
    request.parts.push_back({.count = whole, .processors = per_node, .memory = memory(per_node)});
  if (const auto rest = size % per_node; rest > 0)
    request.parts.push_back({.processors = rest, .memory = memory(rest)});
  return request;
}

Result<NodeRequest> parse_node_spec(std::string_view text) {
  NodeRequest request;
  std::string_view flags = text;
  auto rest = take(flags, '#');
  if (rest.ends_with('+') || rest.ends_with(':')) return malformed(text, "ends too early");
  const auto alone = flag_in(flags);
  if (!alone) return alone.refusal();
  request.alone = *alone;
  do {
    auto part = part_in(take(rest, '+'));
    if (!part) return part.refusal();
    const auto same = std::find_if(request.parts.begin(), request.parts.end(), [&](NodePart p) {
      p.count = part->count;
      return p == *part;
    });
    if (same == request.parts.end()) {
      request.parts.push_back(std::move(*part));
    } else if (__builtin_add_overflow(same->count, part->count, &same->count)) {
      return malformed(text, "too many nodes");
    }
  } while (!rest.empty());
  if (request.parts.size() > node_parts_max)
    return malformed(text, "more than four different parts");
  if (request.processors() > most_processors) return malformed(text, "too many processors");
  return request;
}

}  // namespace reeve::alloc
