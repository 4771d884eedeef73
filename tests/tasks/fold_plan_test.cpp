// What `recent` says: its bytes there and back, and the passes that fold it into the table.
#include "tasks/fold_plan.hpp"

#include <rapidcheck/gtest.h>

#include <map>
#include <optional>

#include "tests/support/pch.hpp"

namespace reeve::tasks::detail {
namespace {

using Kind = RecentEntry::Kind;

RecordData record(std::uint64_t rid) {
  RecordData r;
  r.rid = rid;
  r.id = std::make_shared<const std::string>("id-" + std::to_string(rid));
  r.fields = std::make_shared<const std::string>(R"({"a":"\u0000"})");
  r.outcome = std::make_shared<const Outcome>(Outcome{"[1]", "went wrong", "time_limit"});
  r.state = TaskState::failed;
  r.attempt = 0xfffffffe;
  r.revision = (1ULL << 63) + 5;
  r.progress = 0.1;
  r.created_ms = 1;
  r.updated_ms = 1LL << 62;
  r.finished_ms = 3;
  r.retry_at_ms = never_ms;
  r.ttl_ms = 5;
  r.body_hash = ~0ULL;
  r.retry_after_crash = true;
  return r;
}

std::vector<std::pair<std::uint64_t, RecentEntry>> read(std::string_view body,
                                                        std::string_view prefix) {
  std::vector<std::pair<std::uint64_t, RecentEntry>> found;
  EXPECT_TRUE(read_recent(body, prefix, [&](std::uint64_t rid, RecentEntry entry) {
    found.emplace_back(rid, std::move(entry));
  }));
  return found;
}

TEST(RecentTest, ARecordComesBackWithoutItsResult) {
  std::string body;
  const RecordData r = record(7);
  append_row(body, r, "task:");
  append_mark(body, Kind::erased, 8);
  append_mark(body, Kind::in_table, 9);
  const auto found = read(body, "task:");
  ASSERT_EQ(found.size(), 3u);
  const RecordData& back = *found[0].second.data;
  EXPECT_FALSE(found[0].second.foreign);
  EXPECT_EQ(back.outcome->result, "");
  RecordData expected = r;
  expected.outcome = std::make_shared<const Outcome>(Outcome{{}, "went wrong", "time_limit"});
  std::string again, once;
  append_row(again, back, "task:");
  append_row(once, expected, "task:");
  EXPECT_EQ(again, once);
  EXPECT_EQ(*back.id, "id-7");
  EXPECT_EQ(back.revision, r.revision);
  EXPECT_EQ(found[1].first, 8u);
  EXPECT_EQ(found[1].second.kind, Kind::erased);
  EXPECT_EQ(found[2].second.kind, Kind::in_table);
}

TEST(RecentTest, AnotherStoresRowKeepsItsWholeId) {
  std::string body;
  append_row(body, record(7), "other:");
  const auto found = read(body, "task:");
  EXPECT_TRUE(found.at(0).second.foreign);
  EXPECT_EQ(*found.at(0).second.data->id, "other:id-7");
}

TEST(RecentTest, EveryCutAndEveryUnknownKindIsSeen) {
  std::string body;
  append_row(body, record(7), "task:");
  const auto ignore = [](std::uint64_t, const RecentEntry&) {};
  for (std::size_t n = 1; n < body.size(); ++n)
    EXPECT_FALSE(read_recent(std::string_view(body).substr(0, n), "task:", ignore)) << n;
  body[9] = static_cast<char>(task_state_count);
  EXPECT_FALSE(read_recent(body, "task:", ignore));
  body[0] = 3;
  EXPECT_FALSE(read_recent(body, "task:", ignore));
}

/// A file: what a load would find in it.
struct Model {
  std::map<std::uint64_t, std::uint64_t> table;  // rid -> version
  struct Row {
    std::int64_t seq;
    std::vector<std::pair<std::uint64_t, RecentEntry>> words;
  };
  std::vector<Row> recent;

  void write(const FoldPlan::Item& item) {
    if (item.entry.kind == Kind::erased) table.erase(item.rid);
    if (item.entry.kind == Kind::row) table[item.rid] = item.entry.data->revision;
  }
  std::map<std::uint64_t, std::uint64_t> loaded() const {
    Model copy = *this;
    std::map<std::uint64_t, RecentEntry> last;
    for (const Row& row : recent)
      for (const auto& [rid, entry] : row.words) last[rid] = entry;
    for (const auto& [rid, entry] : last) copy.write({rid, entry});
    return copy.table;
  }
};

// NOLINTNEXTLINE
RC_GTEST_PROP(FoldPlanTest, AfterEveryStepALoadFindsTheNewestVersionOfEveryRow, ()) {
  FoldPlan plan(200);
  Model file;
  std::map<std::uint64_t, std::uint64_t> truth;
  std::uint64_t revision = 0;
  std::int64_t seq = 0;
  for (int step = 0; step < 200; ++step) {
    const auto rid = *rc::gen::inRange<std::uint64_t>(1, 12);
    const int what = *rc::gen::inRange(0, 10);
    RecentEntry entry;
    if (what < 5) {
      auto r = std::make_shared<RecordData>(record(rid));
      r->revision = truth[rid] = ++revision;
      entry.kind = Kind::row;
      entry.data = std::move(r);
    } else if (what == 5) {
      truth.erase(rid);
      entry.kind = Kind::erased;
    } else if (what == 6) {  // into the table directly
      file.table[rid] = truth[rid] = ++revision;
      entry.kind = Kind::in_table;
      if (!plan.may_hold(rid)) continue;
    } else {
      const auto todo = plan.next(*rc::gen::inRange<std::size_t>(1, 5));
      for (const auto& item : todo.rows) file.write(item);
      std::erase_if(file.recent,
                    [&](const Model::Row& row) { return row.seq <= todo.erase_through; });
      plan.done(todo);
      RC_ASSERT(file.loaded() == truth);
      continue;
    }
    if (file.recent.empty()) seq = 0;  // as SQLite counts
    file.recent.push_back({++seq, {{rid, entry}}});
    plan.appended(seq, 40);
    RecentEntry word = entry;
    plan.said(rid, word);
    RC_ASSERT(file.loaded() == truth);
  }
  for (const auto& item : plan.rest()) file.write(item);
  file.recent.clear();
  RC_ASSERT(file.loaded() == truth);
}

TEST(FoldPlanTest, APassEndsAndLeavesNothing) {
  FoldPlan plan(1);
  for (std::int64_t seq = 1; seq <= 100; ++seq) {
    plan.appended(seq, 10);
    RecentEntry nothing;
    plan.said(static_cast<std::uint64_t>(seq % 10), nothing);
  }
  std::int64_t erased = 0;
  int steps = 0;
  for (auto step = plan.next(3); !step.empty(); step = plan.next(3), ++steps) {
    EXPECT_LE(step.rows.size(), 3u);
    erased = std::max(erased, step.erase_through);
    plan.done(step);
    ASSERT_LT(steps, 100);
  }
  EXPECT_EQ(erased, 100);
  EXPECT_FALSE(plan.may_hold(5));
  EXPECT_TRUE(plan.rest().empty());
}

TEST(FoldPlanTest, AFailedTransactionMakesItsRowsSuspect) {
  FoldPlan plan(1);
  EXPECT_FALSE(plan.may_hold(5));
  plan.suspect(5);
  EXPECT_TRUE(plan.may_hold(5));
  for (const auto& item : plan.rest()) EXPECT_EQ(item.entry.kind, Kind::in_table);
  auto data = std::make_shared<const RecordData>(record(6));
  plan.appended(1, 10);
  RecentEntry word{Kind::row, false, data};
  plan.said(6, word);
  EXPECT_EQ(word.data, nullptr) << "nothing was said before";
  RecentEntry again{Kind::row, false, nullptr};
  plan.said(6, again);
  EXPECT_EQ(again.data, data) << "whoever made it destroys it";
  plan.said(6, again);
  plan.suspect(6);
  EXPECT_EQ(plan.rest().back().entry.data, data) << "an acknowledged version is still to be folded";
}

}  // namespace
}  // namespace reeve::tasks::detail
