// A file of an older schema is brought up to date in one transaction, also when the power is cut.
#include <fmt/format.h>

#include <reeve/tasks/task_store.hpp>

#include "tasks/migration.hpp"
#include "tests/support/pch.hpp"
#include "tests/tasks/support/disk_vfs.hpp"
#include "tests/tasks/support/platter.hpp"
#include "tests/tasks/support/run.hpp"

namespace reeve::tasks {
namespace {

using detail::bring_up_to_date;
using detail::Connection;
using detail::MigrationStep;
using testing::code_of;
using testing::Disk;
using testing::Platter;
using testing::run;

constexpr const char* db_path = "/disk/tasks.db";
constexpr int task_count = 40;

constexpr int now = detail::schema_version;
constexpr int ahead = now + 2;

/// Two releases ahead: a column with a value for every row, then a table filled from it.
const std::vector<MigrationStep> two_steps{
    {now, "ALTER TABLE task ADD COLUMN owner TEXT; UPDATE task SET owner = 'of ' || id"},
    {now + 1,
     "CREATE TABLE note(rid INTEGER PRIMARY KEY, text TEXT) STRICT;"
     "INSERT INTO note SELECT rid, owner FROM task"},
};

class MigrationTest : public ::testing::Test {
 protected:
  MigrationTest() {
    StoreConfig config;
    config.path = db_path;
    config.vfs = disk_.name();
    config.reserve = ByteSize{0};
    boost::asio::io_context context;
    TaskStore store(context.get_executor(), config);
    Fields body;
    body.set("pad", std::string(300, 'p'));
    for (int i = 0; i < task_count; ++i)
      run(context, store.create_task(fmt::format("t{}", i), body));
  }
  static void open(Connection& db, const Disk& disk) {
    db.open(db_path, disk.name());
    for (const char* pragma : {"PRAGMA locking_mode=EXCLUSIVE", "PRAGMA synchronous=EXTRA",
                               "PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL"})
      db.run(pragma);
  }
  /// Everything of this version, or everything of the one two ahead.
  static void expect_whole(Connection& db, const std::string& where) {
    const auto version = db.number("PRAGMA user_version");
    ASSERT_TRUE(version == now || version == ahead) << where << ": version " << version;
    EXPECT_EQ(db.number("SELECT count(*) FROM task"), task_count) << where;
    const auto notes = db.number("SELECT count(*) FROM sqlite_master WHERE name='note'");
    EXPECT_EQ(notes, version == ahead ? 1 : 0) << where;
    if (version == ahead) {
      EXPECT_EQ(db.number("SELECT count(*) FROM note WHERE text LIKE 'of task:t%'"), task_count)
          << where;
    }
    EXPECT_EQ(db.text("PRAGMA quick_check"), "ok") << where;
  }

  Disk disk_{"migrating"};
};

TEST_F(MigrationTest, RunsEveryStepOnce) {
  Connection db;
  open(db, disk_);
  bring_up_to_date(db, db_path, two_steps, ahead);
  EXPECT_EQ(db.number("PRAGMA user_version"), ahead);
  expect_whole(db, "migrated");
  bring_up_to_date(db, db_path, two_steps, ahead);
  expect_whole(db, "again");
}

TEST_F(MigrationTest, AFileOfTheFirstVersionIsBroughtUpToDateByTheStore) {
  {
    Connection db;
    open(db, disk_);
    db.run("DROP TABLE recent; PRAGMA user_version=1");
  }
  StoreConfig config;
  config.path = db_path;
  config.vfs = disk_.name();
  config.reserve = ByteSize{0};
  boost::asio::io_context context;
  {
    TaskStore store(context.get_executor(), config);
    EXPECT_EQ(store.counts().total(), static_cast<std::size_t>(task_count));
    run(context, store.start_task("t7"));
  }
  Connection db;
  open(db, disk_);
  EXPECT_EQ(db.number("PRAGMA user_version"), now);
  EXPECT_EQ(db.number("SELECT count(*) FROM task WHERE state=1 AND id='task:t7'"), 1);
}

TEST_F(MigrationTest, AStepThatFailsLeavesTheFileAsItWas) {
  auto steps = two_steps;
  steps[1].sql = "CREATE TABLE note(rid INTEGER PRIMARY KEY) STRICT; SELECT no_such_function()";
  Connection db;
  open(db, disk_);
  EXPECT_TRUE(code_of([&] { bring_up_to_date(db, db_path, steps, ahead); }));
  EXPECT_EQ(db.number("PRAGMA user_version"), now);
  expect_whole(db, "after a failed step");
}

TEST_F(MigrationTest, AFullDiskLeavesTheFileAsItWas) {
  {
    Connection db;
    open(db, disk_);
    disk_.set_capacity(1);
    EXPECT_EQ(code_of([&] { bring_up_to_date(db, db_path, two_steps, ahead); }),
              TaskErrc::storage_full);
    disk_.set_capacity(SIZE_MAX);
  }
  Connection db;
  open(db, disk_);
  EXPECT_EQ(db.number("PRAGMA user_version"), now);
  bring_up_to_date(db, db_path, two_steps, ahead);
  expect_whole(db, "once there was space");
}

TEST_F(MigrationTest, AVersionWithoutAWayIsRefused) {
  Connection db;
  open(db, disk_);
  const std::vector<MigrationStep> gap{two_steps[1]};
  EXPECT_EQ(code_of([&] { bring_up_to_date(db, db_path, gap, ahead); }), TaskErrc::bad_format);
  EXPECT_EQ(db.number("PRAGMA user_version"), now);
  db.run("PRAGMA user_version=0");
  EXPECT_EQ(code_of([&] { bring_up_to_date(db, db_path); }), TaskErrc::bad_format);
}

TEST_F(MigrationTest, APowerCutLeavesTheOldFileOrTheNewOne) {
  {
    Connection db;
    open(db, disk_);
    bring_up_to_date(db, db_path, two_steps, ahead);
  }
  Disk replay("replay-migration");
  replay.record(false);
  Platter platter;
  std::mt19937 rng(11);
  int states = 0, before = 0, after = 0;
  for (std::size_t i = 0; i < disk_.ops().size(); ++i) {
    platter.step(disk_.ops()[i]);
    for (const auto kept : {Platter::Kept::none, Platter::Kept::all, Platter::Kept::some,
                            Platter::Kept::some, Platter::Kept::some}) {
      replay.mount(testing::copy_of(platter.cut(kept, rng)));
      Connection db;
      open(db, replay);
      const auto tasks = db.number("SELECT count(*) FROM sqlite_master WHERE name='task'");
      if (tasks == 0 || db.number("SELECT count(*) FROM task") < task_count) continue;  // filling
      ++states;
      expect_whole(db, fmt::format("operation {}", i));
      ++(db.number("PRAGMA user_version") == now ? before : after);
      if (HasFatalFailure()) return;
    }
  }
  std::printf("migration: %d states, %d before it, %d after it\n", states, before, after);
  EXPECT_GT(before, 20);
  EXPECT_GT(after, 10);
}

}  // namespace
}  // namespace reeve::tasks
