// The Standard Workload Format, line by line.
#include "reeve/alloc/swf.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <string_view>

namespace reeve::alloc {

namespace {

constexpr std::string_view field_names[] = {
    "job number",      "submit time",      "wait time",   "run time",
    "processors used", "cpu time",         "memory used", "processors requested",
    "time requested",  "memory requested", "status",      "user",
    "group",           "executable",       "queue",       "partition",
    "preceding job",   "think time"};

Refusal malformed(std::size_t line, std::size_t field, std::string_view reason) {
  std::string text = "line " + std::to_string(line) + ", field " + std::to_string(field + 1);
  if (field < std::size(field_names)) text.append(" (").append(field_names[field]).append(")");
  return {.code = Code::malformed, .subject = text.append(": ").append(reason)};
}

void header(std::string_view line, Trace& trace, bool& procs_seen) {
  const auto number_after = [&](std::string_view key) -> std::int32_t {
    const auto at = line.find(key);
    if (at == std::string_view::npos) return 0;
    auto rest = line.substr(at + key.size());
    rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
    std::int32_t n = 0;
    std::from_chars(rest.data(), rest.data() + rest.size(), n);
    return n;
  };
  if (const auto n = number_after("MaxProcs:"); n > 0) {
    trace.processors = n;
    procs_seen = true;
  } else if (const auto nodes = number_after("MaxNodes:"); nodes > 0 && !procs_seen) {
    trace.processors = nodes;
  }
}

Time to_ticks(double seconds_value) {
  return static_cast<Time>(std::llround(seconds_value * 1e6));
}

std::string shortest(double value) {
  std::array<char, 32> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return std::string(text.data(), end);
}

}  // namespace

Result<Trace> read_swf(std::istream& in, SwfOptions options) {
  Trace trace;
  bool procs_seen = false;
  std::string line;
  for (std::size_t number = 1; std::getline(in, line); ++number) {
    std::string_view rest = line;
    rest.remove_prefix(std::min(rest.find_first_not_of(" \t\r"), rest.size()));
    if (rest.empty()) continue;
    if (rest[0] == ';') {
      header(rest, trace, procs_seen);
      continue;
    }
    std::array<double, 18> field;
    field.fill(-1);
    std::size_t count = 0;
    while (!rest.empty()) {
      if (count == field.size()) return malformed(number, count, "more than 18 fields");
      const auto word = rest.substr(0, rest.find_first_of(" \t\r"));
      const auto [end, error] =
          std::from_chars(word.data(), word.data() + word.size(), field[count]);
      if (error != std::errc{} || end != word.data() + word.size() ||
          !std::isfinite(field[count]) || std::abs(field[count]) > 1e12)
        return malformed(number, count, std::string("not a usable number: ").append(word));
      ++count;
      rest.remove_prefix(word.size());
      rest.remove_prefix(std::min(rest.find_first_not_of(" \t\r"), rest.size()));
    }
    if (count < 5) return malformed(number, count, "missing; at least five fields are needed");
    if (field[1] < 0) return malformed(number, 1, "a job needs a submit time");
    const std::size_t wanted = options.size == SwfOptions::Size::used ? 4 : 7;
    const std::size_t source = field[wanted] > 0 ? wanted : 11 - wanted;
    const double size = field[source];
    if (size > 1e9) return malformed(number, source, "too many processors");
    if (size > 0 && size != std::floor(size))
      return malformed(number, source, "not a whole number of processors: " + shortest(size));
    if (field[3] <= 0 || size <= 0) {
      ++trace.skipped;
      continue;
    }
    Job job{.id = static_cast<std::int64_t>(field[0]),
            .submit = to_ticks(field[1]),
            .run = std::max<Time>(1, to_ticks(field[3])),
            .estimate = std::max<Time>(1, to_ticks(field[8] > 0 ? field[8] : field[3])),
            .size = static_cast<std::int32_t>(size)};
    if (options.estimate_at_least_run) job.estimate = std::max(job.estimate, job.run);
    trace.jobs.push_back(job);
  }
  return trace;
}

}  // namespace reeve::alloc
