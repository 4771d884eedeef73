// Writes events as JSON lines and reads them back.
#include <fmt/format.h>

#include <cerrno>
#include <charconv>
#include <fstream>
#include <iterator>
#include <reeve/audit/sink.hpp>
#include <reeve/base/error.hpp>

namespace reeve::audit {
namespace {

// Length of the valid UTF-8 character at the front of `text`, 0 if there is none (RFC 3629).
std::size_t utf8_length(std::string_view text) noexcept {
  const auto byte = [&](std::size_t i) -> unsigned {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
  };
  const auto tail = [&](std::size_t i) { return (byte(i) & 0xc0) == 0x80; };
  const unsigned a = byte(0);
  const unsigned b = byte(1);
  if (a < 0x80) return 1;
  if (a >= 0xc2 && a <= 0xdf) return tail(1) ? 2 : 0;
  if (a >= 0xe0 && a <= 0xef) {
    if ((a == 0xe0 && b < 0xa0) || (a == 0xed && b > 0x9f)) return 0;
    return tail(1) && tail(2) ? 3 : 0;
  }
  if (a >= 0xf0 && a <= 0xf4) {
    if ((a == 0xf0 && b < 0x90) || (a == 0xf4 && b > 0x8f)) return 0;
    return tail(1) && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

void append_string(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    const char c = text.front();
    const std::size_t length = utf8_length(text);
    if (length == 0) {
      out += "\xef\xbf\xbd";  // U+FFFD
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out.append(text.substr(0, length));
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  out += '"';
}

void append_utf8(std::string& out, unsigned code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xc0 | code >> 6);
    out += static_cast<char>(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xe0 | code >> 12);
    out += static_cast<char>(0x80 | (code >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (code & 0x3f));
  } else {
    out += static_cast<char>(0xf0 | code >> 18);
    out += static_cast<char>(0x80 | (code >> 12 & 0x3f));
    out += static_cast<char>(0x80 | (code >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (code & 0x3f));
  }
}

// Reads one flat JSON object: {"name": string | number | true | false | null, ...}.
class LineReader {
 public:
  LineReader(std::string_view line, std::size_t number) : rest_(line), number_(number) {}

  struct Value {
    std::string_view literal;  // of a number, true, false or null; empty for a string
    std::string text;
  };

  template <class Field>
  void object(Field field) {
    expect('{');
    if (next() != '}') {
      do {
        const std::string name = string();
        expect(':');
        field(name, value());
      } while (take(','));
    }
    expect('}');
    if (next() != '\0') fail("text after the object");
  }

  [[noreturn]] void fail(std::string_view what) const {
    throw Error(fmt::format("line {} of the audit trail: {}", number_, what));
  }

  template <class Number>
  Number number(const std::string& name, const Value& value) const {
    Number result{};
    const char* end = value.literal.data() + value.literal.size();
    const auto [stop, error] = std::from_chars(value.literal.data(), end, result);
    if (value.literal.empty() || error != std::errc{} || stop != end) {
      fail(fmt::format("\"{}\" is not an integer in range", name));
    }
    return result;
  }

 private:
  char next() {
    const std::size_t skip = rest_.find_first_not_of(" \t\r");
    rest_.remove_prefix(skip == std::string_view::npos ? rest_.size() : skip);
    return rest_.empty() ? '\0' : rest_.front();
  }
  bool take(char c) {
    if (next() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void expect(char c) {
    if (!take(c)) fail(fmt::format("'{}' is missing", c));
  }
  unsigned hex4() {
    unsigned code = 0;
    const char* begin = rest_.data();
    if (rest_.size() < 4) fail("a \\u escape is cut off");
    const auto [stop, error] = std::from_chars(begin, begin + 4, code, 16);
    if (error != std::errc{} || stop != begin + 4) fail("a \\u escape is not hexadecimal");
    rest_.remove_prefix(4);
    return code;
  }
  void escape(std::string& out) {
    if (rest_.empty()) fail("a string is not closed");
    const char c = rest_.front();
    rest_.remove_prefix(1);
    constexpr std::string_view from = "\"\\/bfnrt";
    constexpr std::string_view to = "\"\\/\b\f\n\r\t";
    if (const std::size_t at = from.find(c); at != std::string_view::npos) {
      out += to[at];
      return;
    }
    if (c != 'u') fail("an escape is unknown");
    unsigned code = hex4();
    if (code >= 0xd800 && code < 0xdc00 && rest_.substr(0, 2) == "\\u") {
      rest_.remove_prefix(2);
      const unsigned low = hex4();
      if (low < 0xdc00 || low > 0xdfff) fail("a surrogate stands alone");
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if (code >= 0xd800 && code < 0xe000) {
      fail("a surrogate stands alone");
    }
    append_utf8(out, code);
  }
  std::string string() {
    expect('"');
    std::string out;
    for (;;) {
      if (rest_.empty()) fail("a string is not closed");
      const char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '"') return out;
      if (c == '\\') {
        escape(out);
      } else if (static_cast<unsigned char>(c) < 0x20) {
        fail("a string holds a control character");
      } else {
        out += c;
      }
    }
  }
  Value value() {
    Value result;
    if (next() == '"') {
      result.text = string();
      return result;
    }
    const std::size_t end = std::min(rest_.find_first_of(",} \t\r"), rest_.size());
    result.literal = rest_.substr(0, end);
    if (result.literal.empty() || result.literal.find_first_of("{[") != std::string_view::npos) {
      fail("a value is missing or nested");
    }
    rest_.remove_prefix(end);
    return result;
  }

  std::string_view rest_;
  std::size_t number_;
};

template <class Enum>
Enum named(const LineReader& reader, std::string_view text, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    if (to_string(static_cast<Enum>(i)) == text) return static_cast<Enum>(i);
  }
  reader.fail(fmt::format("\"{}\" is no known event or cause", text));
}

Event parse_line(std::string_view line, std::size_t line_number) {
  LineReader in(line, line_number);
  Event event;
  bool has_kind = false;
  bool task_cut = false;
  bool device_cut = false;
  const auto field = [&](const std::string& name, const LineReader::Value& value) {
    const auto read = [&](auto& to) { to = in.number<std::decay_t<decltype(to)>>(name, value); };
    if (name == "seq") return read(event.sequence);
    if (name == "mono_ns") return read(event.monotonic_ns);
    if (name == "wall_ns") return read(event.wall_ns);
    if (name == "lease") return read(event.lease);
    if (name == "incarnation") return read(event.incarnation);
    if (name == "pid") return read(event.pid);
    if (name == "limit") return read(event.limit);
    if (name == "observed") return read(event.observed);
    if (name == "peak_bytes") return read(event.peak_bytes);
    if (name == "elapsed_ns") return read(event.elapsed_ns);
    if (name == "signal") return read(event.signal);
    if (name == "exit_status") return read(event.exit_status);
    if (name == "task") return event.task.assign(value.text);
    if (name == "device") return event.device.assign(value.text);
    if (name == "cause") event.cause = named<Cause>(in, value.text, cause_count);
    if (name == "task_cut") task_cut = value.literal == "true";
    if (name == "device_cut") device_cut = value.literal == "true";
    if (name == "worker" && value.literal != "null") read(event.worker);
    if (name == "event") {
      event.kind = named<EventKind>(in, value.text, event_kind_count);
      has_kind = true;
    }
  };
  in.object(field);
  if (!has_kind) in.fail("\"event\" is missing");
  if (task_cut) event.task.mark_truncated();
  if (device_cut) event.device.mark_truncated();
  return event;
}

}  // namespace

std::string to_jsonl(const Event& event) {
  std::string out;
  out.reserve(384);
  const auto to = std::back_inserter(out);
  fmt::format_to(
      to, R"({{"seq":{},"mono_ns":{},"wall_ns":{},"event":"{}","cause":"{}","lease":{},"task":)",
      event.sequence, event.monotonic_ns, event.wall_ns, to_string(event.kind),
      to_string(event.cause), event.lease);
  append_string(out, event.task.view());
  fmt::format_to(to, R"(,"task_cut":{},"worker":)", event.task.truncated());
  if (event.worker == no_worker) {
    out += "null";
  } else {
    fmt::format_to(to, "{}", event.worker);
  }
  fmt::format_to(to, R"(,"incarnation":{},"device":)", event.incarnation);
  append_string(out, event.device.view());
  fmt::format_to(to, R"(,"device_cut":{},"pid":{},"limit":{},"observed":{},"peak_bytes":{})",
                 event.device.truncated(), event.pid, event.limit, event.observed,
                 event.peak_bytes);
  fmt::format_to(to, R"(,"elapsed_ns":{},"signal":{},"exit_status":{}}})", event.elapsed_ns,
                 static_cast<unsigned>(event.signal), event.exit_status);
  return out;
}

std::vector<Event> parse_jsonl(std::string_view text) {
  std::vector<Event> events;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    events.push_back(parse_line(line, number));
  }
  return events;
}

std::vector<Event> read_jsonl(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw_errno("reading the audit trail " + path.string());
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  return parse_jsonl(text);
}

}  // namespace reeve::audit
