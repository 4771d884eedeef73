// Imported times: what is left of a retention is kept, nonsense is refused with its line.
#include <reeve/tasks/task_store.hpp>
#include <sstream>

#include "tests/support/pch.hpp"
#include "tests/tasks/support/disk_vfs.hpp"
#include "tests/tasks/support/run.hpp"

namespace reeve::tasks {
namespace {

using std::chrono::hours;
using testing::run;

class TransferTest : public ::testing::Test {
 protected:
  static constexpr std::int64_t hour_ms = 3'600'000;

  TransferTest() {
    StoreConfig config;
    config.clock = &clock_;
    config.wall_clock = &wall_;
    store_.emplace(context_.get_executor(), config);
  }
  void pass(std::chrono::milliseconds time) {
    clock_.advance(time);
    wall_.advance(time);
  }
  /// A line of a task that ended at `finished`, relative to now, with these further members.
  std::string line(const std::string& id, std::int64_t finished, const std::string& more) {
    const auto at = std::to_string(wall_.now_ms() + finished);
    return R"({"id":")" + id + R"(","status":"completed","progress":100,"result":1,"created_at":)" +
           at + R"(,"updated_at":)" + at + R"(,"finished_at":)" + at + more + "}\n";
  }
  std::string expires(std::int64_t in) {
    return R"(,"expires_at":)" + std::to_string(wall_.now_ms() + in);
  }
  void import(const std::string& lines) {
    std::istringstream in(lines);
    run(context_, store_->import_jsonl(in));
  }

  /// An empty store on that disk, which must outlive it.
  void move_to(const testing::Disk& disk) {
    StoreConfig config;
    config.path = "/disk/tasks.db";
    config.vfs = disk.name();
    config.reserve = ByteSize{0};
    store_.emplace(context_.get_executor(), config);
  }

  ManualClock clock_;
  ManualWallClock wall_;
  boost::asio::io_context context_;
  std::optional<TaskStore> store_;
};

TEST_F(TransferTest, ARecordLivesForWhatIsLeftOfItsRetention) {
  import(line("an hour", -25 * hour_ms, expires(hour_ms)) +
         line("over", -25 * hour_ms, expires(-hour_ms)) +
         line("a clock ahead", hour_ms, expires(2 * hour_ms)));
  EXPECT_FALSE(store_->get_task_status("over"));
  EXPECT_TRUE(store_->get_task_status("an hour"));
  pass(hours{1} - std::chrono::milliseconds{1});
  EXPECT_TRUE(store_->get_task_status("an hour"));
  EXPECT_TRUE(store_->get_task_status("a clock ahead"));
  pass(std::chrono::milliseconds{1});
  EXPECT_FALSE(store_->get_task_status("an hour"));
  EXPECT_FALSE(store_->get_task_status("a clock ahead"));
}

TEST_F(TransferTest, ARecordMayLiveForAHundredYears) {
  import(line("old", 0, expires(hour_ms * 24 * 36'525)));
  pass(hours{24 * 36'524});
  EXPECT_TRUE(store_->get_task_status("old"));
}

TEST_F(TransferTest, TimesThatNoStoreHasWrittenAreRefusedWithTheirLine) {
  for (const std::string& more :
       {std::string(R"(,"expires_at":253402300799999)"),
        std::string(R"(,"expires_at":9223372036854775807)"), expires(-2 * hour_ms),
        std::string(R"(,"_ttl_ms":0)"), std::string(R"(,"_ttl_ms":9223372036854775807)")}) {
    try {
      import(line("good", -hour_ms, "") + line("bad", -hour_ms, more));
      ADD_FAILURE() << more;
    } catch (const TaskError& e) {
      EXPECT_EQ(e.code(), TaskErrc::invalid_argument);
      EXPECT_THAT(e.what(), ::testing::HasSubstr("line 2: "));
    }
    EXPECT_TRUE(store_->get_task_status("good"));
    EXPECT_FALSE(store_->get_task_status("bad")) << more;
  }
  EXPECT_EQ(testing::code_of([&] {
              import(R"({"id":"p","status":"pending","progress":0,"expires_at":5})"
                     "\n");
            }),
            TaskErrc::invalid_argument);
}

TEST_F(TransferTest, ALineIsRefusedForNamesAndTextsThatNoRecordCanHave) {
  const auto refusal = [&](const std::string& more) -> std::string {
    try {
      import(line("before", 0, "") + line("t", 0, more));
    } catch (const TaskError& e) {
      EXPECT_EQ(e.code(), TaskErrc::invalid_argument);
      return e.what();
    }
    return "";
  };
  EXPECT_THAT(refusal(R"(,"state":1)"), ::testing::HasSubstr("line 2: the field name 'state'"));
  const std::string long_text = ",\"error\":\"" + std::string(70'000, 'e') + '"';
  EXPECT_THAT(refusal(long_text),
              ::testing::HasSubstr("line 2: error has 70000 bytes; the most is 65536"));
  EXPECT_THAT(refusal(R"(,"attempt":-1)"), ::testing::HasSubstr("line 2: -1 is not a number"));
  EXPECT_FALSE(store_->get_task_status("t"));
  EXPECT_TRUE(store_->get_task_status("before")) << "the lines before are imported";
}

TEST_F(TransferTest, NoFieldCanMeanWhatAnExportedLineSays) {
  for (const char* name : {"_body_hash", "_ttl_ms", "_retry_after_crash"}) {
    Fields fields;
    fields.set(name, 1);
    EXPECT_EQ(testing::code_of([&] { run(context_, store_->create_task("t", fields)); }),
              TaskErrc::invalid_argument)
        << name;
  }
}

TEST_F(TransferTest, AnImportOfWhichABatchFailedSaysSo) {
  testing::Disk disk("import");
  move_to(disk);
  std::string lines;
  for (int i = 0; i < 5000; ++i) lines += line("t" + std::to_string(i), 0, "");
  // The first batch is refused, the ones after it are not.
  disk.full_while([writes = 0]() mutable { return writes++ == 0; });
  EXPECT_EQ(testing::code_of([&] { import(lines); }), TaskErrc::storage_full);
  disk.full_while(nullptr);
  import(lines);
  EXPECT_EQ(store_->counts().total(), 5000u);
  store_.reset();  // before its disk
}

TEST_F(TransferTest, WhatABadLineFollowsIsOnTheDisk) {
  testing::Disk disk("import");
  move_to(disk);
  disk.fail_syncs(true);
  EXPECT_EQ(testing::code_of([&] { import(line("t", 0, "") + "{}\n"); }), TaskErrc::io_error);
  disk.fail_syncs(false);
  EXPECT_EQ(testing::code_of([&] { import(line("t", 0, "") + "{}\n"); }),
            TaskErrc::invalid_argument);
  EXPECT_TRUE(store_->get_task_status("t"));
  store_.reset();  // before its disk
}

TEST_F(TransferTest, AnAgeBelowNothingRemovesNothing) {
  import(line("t", 0, ""));
  const auto negative = std::chrono::milliseconds{-1};
  EXPECT_EQ(testing::code_of([&] { run(context_, store_->cleanup_old_tasks(negative)); }),
            TaskErrc::invalid_argument);
  EXPECT_TRUE(store_->get_task_status("t"));
}

}  // namespace
}  // namespace reeve::tasks
