// Little-endian fields, then four texts, each behind its length.
#include "tasks/recent.hpp"

#include <bit>
#include <concepts>

namespace reeve::tasks::detail {
namespace {

constexpr std::size_t recent_bytes_max = 4096;

using Kind = RecentEntry::Kind;

template <std::unsigned_integral T>
void put(std::string& out, T value) {
  char bytes[sizeof(T)];
  for (std::size_t i = 0; i < sizeof(T); ++i) bytes[i] = static_cast<char>(value >> (8 * i));
  out.append(bytes, sizeof bytes);
}

void put_ms(std::string& out, std::int64_t ms) {
  put(out, static_cast<std::uint64_t>(ms));
}

void put_text(std::string& out, std::string_view first, std::string_view second = {}) {
  put(out, static_cast<std::uint32_t>(first.size() + second.size()));
  out.append(first);
  out.append(second);
}

class Reader {
 public:
  explicit Reader(std::string_view body) : rest_(body) {}
  bool at_end() const noexcept { return rest_.empty(); }
  bool good() const noexcept { return good_; }

  template <std::unsigned_integral T>
  T number() noexcept {
    T value = 0;
    const std::string_view bytes = take(sizeof(T));
    for (std::size_t i = 0; i < bytes.size(); ++i)
      value |= static_cast<T>(static_cast<T>(static_cast<unsigned char>(bytes[i])) << (8 * i));
    return value;
  }
  std::int64_t ms() noexcept { return static_cast<std::int64_t>(number<std::uint64_t>()); }
  std::string_view text() noexcept { return take(number<std::uint32_t>()); }

 private:
  std::string_view take(std::size_t n) noexcept {
    good_ = good_ && n <= rest_.size();
    if (!good_) return {};
    const std::string_view taken = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return taken;
  }
  std::string_view rest_;
  bool good_ = true;
};

RecentEntry read_row(Reader& in, std::uint64_t rid, std::string_view prefix) {
  RecentEntry entry;
  entry.kind = Kind::row;
  auto r = std::make_shared<RecordData>();
  r->rid = rid;
  r->state = static_cast<TaskState>(in.number<std::uint8_t>());
  r->retry_after_crash = (in.number<std::uint8_t>() & 1) != 0;
  r->attempt = in.number<std::uint32_t>();
  r->revision = in.number<std::uint64_t>();
  r->progress = std::bit_cast<double>(in.number<std::uint64_t>());
  for (std::int64_t* ms : {&r->created_ms, &r->updated_ms, &r->finished_ms, &r->expires_ms,
                           &r->retry_at_ms, &r->ttl_ms})
    *ms = in.ms();
  r->body_hash = in.number<std::uint64_t>();
  std::string_view id = in.text();
  entry.foreign = !id.starts_with(prefix);
  if (!entry.foreign) id.remove_prefix(prefix.size());
  r->id = std::make_shared<const std::string>(id);
  if (const auto doc = in.text(); !doc.empty())
    r->fields = std::make_shared<const std::string>(doc);
  const std::string error(in.text()), reason(in.text());
  if (!error.empty() || !reason.empty())
    r->outcome = std::make_shared<const Outcome>(Outcome{{}, error, reason});
  entry.data = std::move(r);
  return entry;
}

}  // namespace

bool is_small(const RecordData& r) {
  return (r.fields ? r.fields->size() : 0) +
             (r.outcome
                  ? r.outcome->result.size() + r.outcome->error.size() + r.outcome->reason.size()
                  : 0) <=
         recent_bytes_max;
}

void append_row(std::string& body, const RecordData& r, std::string_view prefix) {
  put(body, static_cast<std::uint8_t>(Kind::row));
  put(body, r.rid);
  put(body, static_cast<std::uint8_t>(r.state));
  put(body, static_cast<std::uint8_t>(r.retry_after_crash ? 1 : 0));
  put(body, r.attempt);
  put(body, r.revision);
  put(body, std::bit_cast<std::uint64_t>(r.progress));
  for (const std::int64_t ms :
       {r.created_ms, r.updated_ms, r.finished_ms, r.expires_ms, r.retry_at_ms, r.ttl_ms})
    put_ms(body, ms);
  put(body, r.body_hash);
  put_text(body, prefix, *r.id);
  put_text(body, r.fields ? std::string_view(*r.fields) : std::string_view());
  put_text(body, r.outcome ? std::string_view(r.outcome->error) : std::string_view());
  put_text(body, r.outcome ? std::string_view(r.outcome->reason) : std::string_view());
}

void append_mark(std::string& body, Kind kind, std::uint64_t rid) {
  put(body, static_cast<std::uint8_t>(kind));
  put(body, rid);
}

bool read_recent(std::string_view body, std::string_view prefix,
                 const std::function<void(std::uint64_t rid, RecentEntry)>& each) {
  Reader in(body);
  while (!in.at_end()) {
    const auto kind = static_cast<Kind>(in.number<std::uint8_t>());
    const auto rid = in.number<std::uint64_t>();
    RecentEntry entry;
    entry.kind = kind;
    if (kind == Kind::row) {
      entry = read_row(in, rid, prefix);
      if (static_cast<std::size_t>(entry.data->state) >= task_state_count) return false;
    } else if (kind != Kind::erased && kind != Kind::in_table) {
      return false;
    }
    if (!in.good()) return false;
    each(rid, std::move(entry));
  }
  return true;
}

}  // namespace reeve::tasks::detail
