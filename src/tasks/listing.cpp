// Lists and counts: keyset pages over the per-state indexes.
#include <fmt/format.h>

#include <charconv>

#include "tasks/engine.hpp"

namespace reeve::tasks {

std::size_t TaskCounts::total() const noexcept {
  std::size_t sum = 0;
  for (const std::size_t n : by_state) sum += n;
  return sum;
}

namespace detail {
namespace {

constexpr std::size_t scan_step = 1024;

std::uint64_t hash_filter(const TaskFilter& f) {
  std::uint64_t bits = f.states.empty() ? 0xff : 0;
  for (const TaskState s : f.states) bits |= 1ULL << static_cast<unsigned>(s);
  std::string text = std::to_string(bits);
  text += f.older_than ? 'o' + std::to_string(f.older_than->count()) : "-";
  text += f.newer_than ? 'n' + std::to_string(f.newer_than->count()) : "-";
  return hash_body(text) >> 32;
}

std::string make_cursor(std::uint64_t rid, std::uint64_t filter) {
  return fmt::format("1{:016x}{:08x}", rid, filter);
}

std::uint64_t read_cursor(const std::string& cursor, std::uint64_t filter) {
  std::uint64_t rid = 0, hash = 0;
  const char* p = cursor.data();
  const bool shaped = cursor.size() == 25 && cursor[0] == '1';
  if (!shaped || std::from_chars(p + 1, p + 17, rid, 16).ptr != p + 17 ||
      std::from_chars(p + 17, p + 25, hash, 16).ptr != p + 25)
    throw TaskError(TaskErrc::invalid_argument,
                    "the cursor is not one that list_tasks returned; start without a cursor");
  if (hash != filter)
    throw TaskError(TaskErrc::invalid_argument,
                    "the cursor belongs to another filter; keep the filter while paging");
  return rid;
}

/// Up to `limit` entries with rid > after of the chosen maps, in order.
template <class Maps>
std::vector<EntryPtr> merge(const Maps& maps, std::uint64_t chosen, std::uint64_t after,
                            std::size_t limit) {
  using Iterator = typename std::map<std::uint64_t, EntryPtr>::const_iterator;
  std::vector<std::pair<Iterator, Iterator>> heads;
  for (std::size_t s = 0; s < task_state_count; ++s)
    if (chosen >> s & 1) heads.emplace_back(maps[s].upper_bound(after), maps[s].end());
  std::vector<EntryPtr> out;
  while (out.size() < limit) {
    Iterator* least = nullptr;
    for (auto& [at, end] : heads)
      if (at != end && (least == nullptr || at->first < (*least)->first)) least = &at;
    if (least == nullptr) break;
    out.push_back((*least)->second);
    ++*least;
  }
  return out;
}

}  // namespace

TaskCounts Engine::counts() const {
  const std::lock_guard lock(index_mutex_);
  TaskCounts counts;
  for (std::size_t s = 0; s < task_state_count; ++s) counts.by_state[s] = index_[s].size();
  return counts;
}

std::vector<EntryPtr> Engine::entries(std::uint64_t after, std::size_t limit) const {
  const std::lock_guard lock(index_mutex_);
  return merge(index_, 0xff, after, limit);
}

std::vector<EntryPtr> Engine::settled_entries(std::uint64_t after, std::size_t limit) const {
  const std::lock_guard lock(index_mutex_);
  return merge(index_, 0xf0, after, limit);
}

TaskPage Engine::list(const TaskFilter& filter) const {
  if (filter.limit < 1 || filter.limit > 1000)
    throw TaskError(TaskErrc::invalid_argument,
                    fmt::format("limit is {}; it must be 1 to 1000", filter.limit));
  std::uint64_t chosen = 0;
  for (const TaskState s : filter.states) chosen |= 1ULL << static_cast<unsigned>(s);
  if (filter.states.empty()) chosen = 0xff;
  const std::uint64_t hash = hash_filter(filter);
  std::uint64_t after = filter.cursor.empty() ? 0 : read_cursor(filter.cursor, hash);
  const std::int64_t now = now_ms();

  TaskPage page;
  for (bool more = true; more;) {
    std::vector<EntryPtr> found;
    {
      const std::lock_guard lock(index_mutex_);
      found = merge(index_, chosen, after, std::min(scan_step, filter.limit + 1));
    }
    more = !found.empty();
    for (const EntryPtr& e : found) {
      const RecordPtr r = visible(*e);
      const bool fits = r && (chosen >> static_cast<unsigned>(r->state) & 1) &&
                        (!filter.older_than || now - r->updated_ms >= filter.older_than->count()) &&
                        (!filter.newer_than || now - r->updated_ms < filter.newer_than->count());
      if (fits && page.items.size() == filter.limit) {
        page.next_cursor = make_cursor(after, hash);
        more = false;
        break;
      }
      after = e->rid;
      if (fits) page.items.emplace_back(r);
    }
  }
  page.counts = counts();
  return page;
}

}  // namespace detail
}  // namespace reeve::tasks
