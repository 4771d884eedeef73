// The Standard Workload Format, line by line.
#include "reeve/alloc/swf.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string_view>

#include "alloc/words.hpp"

namespace reeve::alloc {

namespace {

using detail::next_word;

constexpr std::string_view field_names[] = {
    "job number",      "submit time",      "wait time",   "run time",
    "processors used", "cpu time",         "memory used", "processors requested",
    "time requested",  "memory requested", "status",      "user",
    "group",           "executable",       "queue",       "partition",
    "preceding job",   "think time"};
constexpr std::size_t standard = std::size(field_names);
constexpr std::size_t used = 4, memory_used = 6, requested = 7, memory_requested = 9;

Refusal malformed(std::size_t line, std::size_t field, std::string_view reason) {
  std::string text = "line " + std::to_string(line) + ", field " + std::to_string(field + 1);
  if (field < standard) text.append(" (").append(field_names[field]).append(")");
  return {.code = Code::malformed, .subject = text.append(": ").append(reason)};
}

std::int64_t number_in(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  std::int64_t n = 0;
  std::from_chars(text.data(), text.data() + text.size(), n);
  return n;
}

// Reads `; key: value` lines.
class Header {
 public:
  explicit Header(Trace& trace) : trace_(trace) {}

  void read(std::string_view line) {
    if (const auto n = number_after(line, "MaxProcs:"); n > 0 && n <= INT32_MAX) {
      trace_.processors = static_cast<std::int32_t>(n);
      procs_seen_ = true;
    } else if (const auto nodes = number_after(line, "MaxNodes:");
               nodes > 0 && nodes <= INT32_MAX) {
      trace_.nodes = static_cast<std::int32_t>(nodes);
      if (!procs_seen_) trace_.processors = trace_.nodes;
    }
    line.remove_prefix(std::min(line.find_first_not_of("; \t"), line.size()));
    if (line.starts_with("MaxMemory:"))
      trace_.memory =
          std::clamp<std::int64_t>(number_in(line.substr(10)), 0, INT64_MAX / 1024) * 1024;
    if (line.starts_with("Queue:")) name(line.substr(6), trace_.queues);
    if (line.starts_with("Partition:")) name(line.substr(10), trace_.partitions);
  }

 private:
  static std::int64_t number_after(std::string_view line, std::string_view key) {
    const auto at = line.find(key);
    return at == std::string_view::npos ? 0 : number_in(line.substr(at + key.size()));
  }
  static void name(std::string_view rest, std::map<std::int64_t, std::string>& names) {
    const auto number = next_word(rest);
    const auto word = next_word(rest);
    std::int64_t n = 0;
    const auto end = std::from_chars(number.data(), number.data() + number.size(), n).ptr;
    if (!word.empty() && !number.empty() && end == number.data() + number.size())
      names.insert_or_assign(n, std::string(word));
  }

  Trace& trace_;
  bool procs_seen_ = false;
};

Time to_ticks(double seconds_value) {
  return static_cast<Time>(std::llround(seconds_value * 1e6));
}

std::string shortest(double value) {
  std::array<char, 32> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return std::string(text.data(), end);
}

// The fields of one line.
struct Fields {
  std::size_t line = 0;
  std::size_t count = 0;
  std::array<double, standard> value;
  std::string_view spec;

  double operator[](std::size_t field) const { return value[field]; }
};

Result<Fields> read_fields(std::size_t line, std::string_view rest, const SwfOptions& o) {
  const bool more = o.requests == SwfOptions::Requests::specs;
  Fields f{.line = line};
  f.value.fill(-1);
  for (auto word = next_word(rest); !word.empty(); word = next_word(rest), ++f.count) {
    if (f.count >= standard) {
      if (!more) return malformed(line, f.count, "more than 18 fields");
      if (f.count + 1 == static_cast<std::size_t>(o.spec_field)) f.spec = word;
      continue;
    }
    auto& value = f.value[f.count];
    const double most = f.count == memory_used || f.count == memory_requested ? 1e15 : 1e12;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc{} || end != word.data() + word.size() || !std::isfinite(value) ||
        std::abs(value) > most)
      return malformed(line, f.count, std::string("not a usable number: ").append(word));
  }
  if (f.count < 5) return malformed(line, f.count, "missing; at least five fields are needed");
  if (f[1] < 0) return malformed(line, 1, "a job needs a submit time");
  return f;
}

std::int64_t memory_in(double field, const SwfOptions& o) {
  if (field < 0) return -1;
  const double bytes = std::ceil(field * double(o.memory_unit));
  return bytes < double(detail::most_memory) ? static_cast<std::int64_t>(bytes)
                                             : detail::most_memory;
}

JobDetails details_of(const Fields& f, const SwfOptions& o) {
  const auto whole = [&](std::size_t field) { return static_cast<std::int64_t>(f[field]); };
  return {.memory_used = memory_in(f[memory_used], o),
          .memory_requested = memory_in(f[memory_requested], o),
          .user = whole(11),
          .group = whole(12),
          .executable = whole(13),
          .queue = whole(14),
          .partition = whole(15),
          .preceding = whole(16),
          .think = f[17] < 0 ? -1 : to_ticks(f[17])};
}

Result<NodeRequest> request_of(const Fields& f, std::int32_t size, const SwfOptions& o) {
  std::int64_t memory =
      o.memory == SwfOptions::Memory::none ? -1 : memory_in(f[memory_requested], o);
  if (memory <= 0 && o.memory == SwfOptions::Memory::requested_or_used)
    memory = memory_in(f[memory_used], o);
  memory = std::max<std::int64_t>(memory, 0);
  const auto of_piece = [&](std::int32_t processors) {
    return o.memory_of_node ? memory : detail::memory_times(memory, processors);
  };
  if (o.requests == SwfOptions::Requests::specs && !f.spec.empty() && f.spec != "-1") {
    auto request = parse_node_spec(f.spec);
    if (!request)
      return malformed(f.line, static_cast<std::size_t>(o.spec_field) - 1,
                       request.refusal().subject);
    for (auto& part : request->parts)
      if (part.memory == 0) part.memory = of_piece(part.processors);
    return request;
  }
  if (o.requests == SwfOptions::Requests::per_node) {
    auto request = on_nodes(size, o.processors_per_node);
    for (auto& part : request.parts) part.memory = of_piece(part.processors);
    return request;
  }
  return anywhere(size, o.memory_of_node ? memory / size + (memory % size != 0) : memory);
}

Result<void> check(const SwfOptions& o) {
  const bool good = o.processors_per_node > 0 &&
                    o.spec_field > static_cast<std::int32_t>(standard) && o.memory_unit > 0 &&
                    o.memory_unit <= 1 << 20;
  if (good) return {};
  return Refusal{.code = Code::invalid_request,
                 .subject =
                     "processors_per_node is at least 1, spec_field at least 19, memory_unit "
                     "1 to 1048576"};
}

Result<void> add_job(const Fields& f, const SwfOptions& o, Trace& trace) {
  const std::size_t wanted = o.size == SwfOptions::Size::used ? used : requested;
  const std::size_t source = f[wanted] > 0 ? wanted : used + requested - wanted;
  const double size = f[source];
  if (size > 1e9) return malformed(f.line, source, "too many processors");
  if (size > 0 && size != std::floor(size))
    return malformed(f.line, source, "not a whole number of processors: " + shortest(size));
  if (f[3] <= 0 || size <= 0) {
    ++trace.skipped;
    return {};
  }
  Job job{.id = static_cast<std::int64_t>(f[0]),
          .submit = to_ticks(f[1]),
          .run = std::max<Time>(1, to_ticks(f[3])),
          .estimate = std::max<Time>(1, to_ticks(f[8] > 0 ? f[8] : f[3])),
          .size = static_cast<std::int32_t>(size)};
  if (o.estimate_at_least_run) job.estimate = std::max(job.estimate, job.run);
  if (o.requests != SwfOptions::Requests::none) {
    auto request = request_of(f, job.size, o);
    if (!request) return request.refusal();
    job.size = static_cast<std::int32_t>(request->processors());
    trace.requests.push_back(std::move(*request));
  }
  if (o.details) trace.details.push_back(details_of(f, o));
  trace.jobs.push_back(job);
  return {};
}

}  // namespace

SwfOptions swf_with_specs() {
  SwfOptions options;
  options.requests = SwfOptions::Requests::specs;
  options.memory_unit = 1;
  options.memory_of_node = true;
  return options;
}

Result<Trace> read_swf(std::istream& in, SwfOptions options) {
  if (auto ok = check(options); !ok) return ok.refusal();
  Trace trace;
  Header header(trace);
  std::string line;
  for (std::size_t number = 1; std::getline(in, line); ++number) {
    std::string_view rest = line;
    rest.remove_prefix(std::min(rest.find_first_not_of(" \t\r"), rest.size()));
    if (rest.empty()) continue;
    if (rest[0] == ';') {
      header.read(rest);
      continue;
    }
    const auto fields = read_fields(number, rest, options);
    if (!fields) return fields.refusal();
    if (auto ok = add_job(*fields, options, trace); !ok) return ok.refusal();
  }
  return trace;
}

}  // namespace reeve::alloc
