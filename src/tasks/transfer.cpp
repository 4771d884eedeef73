// Records as JSON: to_json, export and import of JSON Lines.
#include <fmt/format.h>

#include <charconv>
#include <istream>
#include <ostream>
#include <reeve/tasks/task_store.hpp>

#include "tasks/engine.hpp"
#include "tasks/json_text.hpp"
#include "tasks/operations.hpp"

namespace reeve::tasks {
namespace {

using detail::never_ms;
using detail::RecordData;

void add_ms(std::string& out, std::string_view name, std::optional<WallTime> at) {
  if (at) out += fmt::format(",\"{}\":{}", name, at->time_since_epoch().count());
}

void add_text(std::string& out, std::string_view name, std::string_view text) {
  if (text.empty()) return;
  out += fmt::format(",\"{}\":", name);
  detail::append_quoted(out, text);
}

std::string line_of(const detail::RecordPtr& data) {
  std::string out = TaskRecord(data).to_json();
  out.pop_back();
  out += fmt::format(",\"_body_hash\":\"{:016x}\"", data->body_hash);
  if (data->retry_after_crash) out += ",\"_retry_after_crash\":true";
  if (data->ttl_ms != never_ms) out += fmt::format(",\"_ttl_ms\":{}", data->ttl_ms);
  out += "}\n";
  return out;
}

template <class T>
T number(std::string_view text, int base = 10) {
  T value{};
  const char* const end = text.data() + text.size();
  const auto parsed = [&] {
    if constexpr (std::is_floating_point_v<T>)
      return std::from_chars(text.data(), end, value);
    else
      return std::from_chars(text.data(), end, value, base);
  }();
  if (parsed.ec != std::errc{} || parsed.ptr != end)
    throw TaskError(TaskErrc::invalid_argument,
                    fmt::format("{} is not a number of its member's range; give it as "
                                "export_jsonl writes it",
                                text));
  return value;
}

std::string words(std::string_view text) {
  if (!text.starts_with('"'))
    throw TaskError(TaskErrc::invalid_argument,
                    fmt::format("{} is not a string; put it in quotes", text));
  return detail::unquote(text);
}

/// Takes one member of a line; false: an extra field.
bool take(RecordData& r, detail::Outcome& outcome, const detail::JsonMember& m) {
  const std::string_view n = m.name;
  if (n == "id")
    r.id = std::make_shared<const std::string>(words(m.value));
  else if (n == "status") {
    const auto state = parse_state(words(m.value));
    if (!state)
      throw TaskError(TaskErrc::invalid_argument,
                      fmt::format("status {} is unknown; it may be pending, running, retry_wait, "
                                  "cancelling, completed, failed, cancelled or interrupted",
                                  m.value));
    r.state = *state;
  } else if (n == "attempt")
    r.attempt = number<std::uint32_t>(m.value);
  else if (n == "progress")
    r.progress = number<double>(m.value);
  else if (n == "created_at")
    r.created_ms = number<std::int64_t>(m.value);
  else if (n == "updated_at")
    r.updated_ms = number<std::int64_t>(m.value);
  else if (n == "finished_at")
    r.finished_ms = number<std::int64_t>(m.value);
  else if (n == "expires_at")
    r.expires_ms = number<std::int64_t>(m.value);
  else if (n == "retry_at")
    r.retry_at_ms = number<std::int64_t>(m.value);
  else if (n == "result")
    outcome.result = m.value;
  else if (n == "error")
    outcome.error = words(m.value);
  else if (n == "reason")
    outcome.reason = words(m.value);
  else if (n == "_body_hash")
    r.body_hash = number<std::uint64_t>(words(m.value), 16);
  else if (n == "_retry_after_crash")
    r.retry_after_crash = m.value == "true";
  else if (n == "_ttl_ms")
    r.ttl_ms = number<std::int64_t>(m.value);
  else
    return n == "revision";
  return true;
}

/// Throws for a time that no store has written.
void check_times(const RecordData& r) {
  constexpr std::int64_t ms_max = 253'402'300'799'999;  // the end of the year 9999
  constexpr std::int64_t kept_max = detail::kept_max.count();
  for (const std::int64_t ms : {r.created_ms, r.updated_ms, r.finished_ms, r.expires_ms})
    if (ms != never_ms && (ms < 0 || ms > ms_max))
      throw TaskError(TaskErrc::invalid_argument,
                      fmt::format("the time {} is not 0 to {} ms since 1970", ms, ms_max));
  if (r.ttl_ms != never_ms && (r.ttl_ms < 1 || r.ttl_ms > kept_max))
    throw TaskError(TaskErrc::invalid_argument,
                    fmt::format("_ttl_ms is {}; it must be 1 ms to 100 years", r.ttl_ms));
  if (r.expires_ms == never_ms) return;
  if (r.finished_ms == never_ms || r.expires_ms < r.finished_ms ||
      r.expires_ms - r.finished_ms > kept_max)
    throw TaskError(
        TaskErrc::invalid_argument,
        fmt::format("expires_at is {}; it must be 0 to 100 years after finished_at", r.expires_ms));
}

void check_size(const char* what, std::size_t bytes, std::size_t most) {
  if (bytes > most)
    throw TaskError(TaskErrc::invalid_argument,
                    fmt::format("{} has {} bytes; the most is {}", what, bytes, most));
}

std::shared_ptr<RecordData> read_line(const std::string& line) {
  auto r = std::make_shared<RecordData>();
  detail::Outcome outcome;
  Fields extra;
  const Fields whole = Fields::parse(line);
  for (const auto& member : detail::members_of(whole.text()))
    if (!take(*r, outcome, member)) extra.set(member.name, Json::parse(member.value));
  if (!r->id)
    throw TaskError(TaskErrc::invalid_argument,
                    "the line has no id; every record has the member \"id\"");
  detail::check_id(*r->id);
  if (!(r->progress >= 0 && r->progress <= 100))
    throw TaskError(TaskErrc::invalid_argument,
                    fmt::format("progress is {}; it must be 0 to 100", r->progress));
  if ((r->finished_ms != never_ms) != is_settled(r->state))
    throw TaskError(TaskErrc::invalid_argument,
                    fmt::format("a record that is {} {} finished_at", to_string(r->state),
                                is_settled(r->state) ? "needs" : "has no"));
  check_times(*r);
  detail::check_field_names(extra);
  check_size("fields", extra.text().size(), detail::fields_bytes_max);
  check_size("result", outcome.result.size(), detail::result_bytes_max);
  check_size("error", outcome.error.size(), detail::fields_bytes_max);
  check_size("reason", outcome.reason.size(), detail::fields_bytes_max);
  if (!extra.empty()) r->fields = std::make_shared<const std::string>(extra.text());
  if (!outcome.result.empty() || !outcome.error.empty() || !outcome.reason.empty())
    r->outcome = std::make_shared<const detail::Outcome>(std::move(outcome));
  return r;
}

/// Takes the lines; a line that is refused ends it with its error. Returns that error.
boost::asio::awaitable<std::exception_ptr> take_lines(std::shared_ptr<detail::Engine> engine,
                                                      std::istream* in, ImportReport* report) {
  constexpr std::size_t window = 1000;
  std::exception_ptr refusal;
  std::vector<detail::TicketPtr> tickets;
  std::string line;
  for (std::size_t at = 1; !refusal && std::getline(*in, line); ++at) {
    if (line.empty()) continue;
    try {
      const detail::Submitted s = engine->submit_import(read_line(line));
      ++(s.changed ? report->imported : report->skipped);
      if (s.ticket) tickets.push_back(s.ticket);
    } catch (const TaskError& e) {
      if (e.code() != TaskErrc::invalid_argument) throw;
      refusal = std::make_exception_ptr(
          TaskError(TaskErrc::invalid_argument, fmt::format("line {}: {}", at, e.what())));
    }
    if (tickets.size() < window && !engine->over_budget()) continue;
    auto written = detail::all_durable(std::move(tickets));
    tickets = std::vector<detail::TicketPtr>();
    co_await std::move(written);
  }
  auto written = detail::all_durable(std::move(tickets));
  co_await std::move(written);
  co_return refusal;
}

boost::asio::awaitable<ImportReport> import_all(std::shared_ptr<detail::Engine> engine,
                                                std::istream* in) {
  ImportReport report;
  auto taking = take_lines(engine, in, &report);
  const std::exception_ptr refusal = co_await std::move(taking);
  if (refusal) std::rethrow_exception(refusal);
  co_return report;
}

}  // namespace

std::string TaskRecord::to_json() const {
  std::string out = "{\"id\":";
  detail::append_quoted(out, id());
  out += fmt::format(",\"status\":\"{}\",\"attempt\":{},\"revision\":{},\"progress\":{}",
                     to_string(state()), attempt(), revision(), progress());
  add_ms(out, "created_at", created_at());
  add_ms(out, "updated_at", updated_at());
  add_ms(out, "finished_at", finished_at());
  add_ms(out, "expires_at", expires_at());
  add_ms(out, "retry_at", retry_at());
  if (!result().empty()) out += fmt::format(",\"result\":{}", result());
  add_text(out, "error", error());
  add_text(out, "reason", reason());
  if (const auto extra = fields(); extra.size() > 2) {
    out += ',';
    out += extra.substr(1, extra.size() - 2);
  }
  out += '}';
  return out;
}

void TaskStore::export_jsonl(std::ostream& out) const {
  std::uint64_t after = 0;
  for (;;) {
    const auto found = engine_->entries(after, 1024);
    if (found.empty()) break;
    after = found.back()->rid;
    for (const auto& entry : found)
      if (const auto data = engine_->visible(*entry)) out << line_of(data);
  }
}

boost::asio::awaitable<ImportReport> TaskStore::import_jsonl(std::istream& in) {
  return import_all(engine_, &in);
}

}  // namespace reeve::tasks
