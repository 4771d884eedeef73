// A disk that is full, fails or is read-only, files of others, two owners: each a defined error,
// nothing lost.
#include <sqlite3.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <reeve/tasks/task_store.hpp>

#include "tests/support/pch.hpp"
#include "tests/tasks/support/disk_vfs.hpp"
#include "tests/tasks/support/run.hpp"

namespace reeve::tasks {
namespace {

using testing::code_of;
using testing::Disk;
using testing::run;

class FaultTest : public ::testing::Test {
 protected:
  StoreConfig config() {
    StoreConfig c;
    c.path = "/disk/tasks.db";
    c.vfs = disk_.name();
    c.reserve = ByteSize{0};
    c.checkpoint_frames = 16;
    c.relaxed_delay = std::chrono::milliseconds{1};
    return c;
  }
  TaskStore open() { return TaskStore(context_.get_executor(), config()); }
  static Fields heavy() {
    Fields f;
    f.set("pad", std::string(20'000, 'x'));
    return f;
  }
  /// Creates tasks until one is refused; how many were acknowledged.
  int fill(TaskStore& store, TaskErrc expected) {
    int created = 0;
    for (; created < 10'000; ++created) {
      const auto code = code_of(
          [&] { run(context_, store.create_task("t" + std::to_string(created), heavy())); });
      if (!code) continue;
      EXPECT_EQ(*code, expected);
      break;
    }
    return created;
  }
  void expect_present(TaskStore& store, int count) {
    for (int i = 0; i < count; ++i)
      EXPECT_TRUE(store.get_task_status("t" + std::to_string(i))) << i;
    EXPECT_FALSE(store.get_task_status("t" + std::to_string(count)));
  }

  Disk disk_{"faulty"};
  boost::asio::io_context context_;
};

TEST_F(FaultTest, AFullDiskRefusesAndWorkResumesWhenThereIsSpace) {
  int created = 0;
  {
    auto store = open();
    disk_.set_capacity(2'000'000);
    created = fill(store, TaskErrc::storage_full);
    EXPECT_GT(created, 20);
    EXPECT_TRUE(store.health().degraded);
    EXPECT_THAT(store.health().cause, ::testing::HasSubstr("full"));
    expect_present(store, created);
    disk_.set_capacity(SIZE_MAX);
    run(context_, store.create_task("after"));
    EXPECT_FALSE(store.health().degraded);
  }
  auto store = open();
  expect_present(store, created);
  EXPECT_TRUE(store.get_task_status("after"));
}

TEST_F(FaultTest, AFailedTransitionIsSeenByNobody) {
  auto store = open();
  run(context_, store.create_task("t"));
  const auto before = run(context_, store.start_task("t"));
  disk_.fail_writes(true);
  EXPECT_EQ(code_of([&] { run(context_, store.complete_task("t")); }), TaskErrc::io_error);
  EXPECT_EQ(store.get_task_status("t")->revision(), before.revision());
  disk_.fail_writes(false);
  EXPECT_EQ(run(context_, store.fail_task("t", "x")).state(), TaskState::failed);
}

TEST_F(FaultTest, AFailedSyncIsNeverTrustedAgain) {
  {
    auto store = open();
    run(context_, store.create_task("kept"));
    disk_.fail_syncs(true);
    EXPECT_EQ(code_of([&] { run(context_, store.create_task("refused")); }), TaskErrc::io_error);
    EXPECT_EQ(code_of([&] { run(context_, store.create_task("refused too")); }),
              TaskErrc::io_error);
    disk_.fail_syncs(false);
    run(context_, store.create_task("after"));
  }
  auto store = open();
  EXPECT_TRUE(store.get_task_status("kept"));
  EXPECT_TRUE(store.get_task_status("after"));
  EXPECT_FALSE(store.get_task_status("refused")) << "an error was reported, so it must not return";
  EXPECT_FALSE(store.get_task_status("refused too"));
}

TEST_F(FaultTest, AFailedSyncIsNotTrustedEitherAfterTheReserveWasGivenUp) {
  testing::TempDir dir;
  StoreConfig c = config();
  c.path = dir.file("tasks.db");
  c.reserve = ByteSize{4096};
  const std::string reserve = c.path + "-reserve";  // a real file
  TaskStore store(context_.get_executor(), c);
  run(context_, store.create_task("t"));
  ASSERT_TRUE(std::filesystem::exists(reserve));
  disk_.full_while([reserve] { return std::filesystem::exists(reserve); });
  disk_.fail_syncs(true);
  EXPECT_EQ(code_of([&] { run(context_, store.delete_task_status("t")); }), TaskErrc::io_error);
  EXPECT_FALSE(std::filesystem::exists(reserve));
  disk_.full_while(nullptr);
  disk_.fail_syncs(false);
  const int before = disk_.opens(c.path + "-wal");
  run(context_, store.create_task("after"));
  EXPECT_EQ(disk_.opens(c.path + "-wal"), before + 1);
}

TEST_F(FaultTest, ProgressSurvivesAFailureInMemoryAndIsWrittenLater) {
  {
    auto store = open();
    run(context_, store.set_task_status("t", TaskState::running));
    disk_.fail_writes(true);
    EXPECT_TRUE(store.post_progress("t", 50));
    EXPECT_EQ(code_of([&] { run(context_, store.flush()); }), TaskErrc::io_error);
    EXPECT_EQ(store.get_task_status("t")->progress(), 50);
    disk_.fail_writes(false);
    run(context_, store.flush());
  }
  EXPECT_EQ(open().get_task_status("t")->progress(), 50);
}

TEST_F(FaultTest, WhatWasBuiltUponAFailedWriteFailsWithIt) {
  auto store = open();
  disk_.fail_writes(true);
  std::vector<TaskErrc> codes;
  auto chain = [&](int step) -> boost::asio::awaitable<void> {
    try {
      if (step == 0) co_await store.create_task("t");
      if (step == 1) co_await store.start_task("t");
      if (step == 2) co_await store.complete_task("t");
    } catch (const TaskError& e) {
      codes.push_back(e.code());
    }
  };
  for (int step = 0; step < 3; ++step)
    boost::asio::co_spawn(context_, chain(step), boost::asio::detached);
  context_.restart();
  context_.run();
  ASSERT_EQ(codes.size(), 3u);
  for (const auto code : codes)
    EXPECT_TRUE(code == TaskErrc::io_error || code == TaskErrc::not_found);
  EXPECT_FALSE(store.get_task_status("t"));
  EXPECT_EQ(store.counts().total(), 0u);
}

std::string bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST_F(FaultTest, ANewerFileAndAForeignFileAreRefusedAndLeftAsTheyAre) {
  testing::TempDir dir;
  StoreConfig c;
  c.path = dir.file("tasks.db");
  {
    TaskStore store(context_.get_executor(), c);
  }
  const auto execute = [](const std::string& path, const char* sql) {
    sqlite3* db = nullptr;
    sqlite3_open(path.c_str(), &db);
    sqlite3_exec(db, sql, nullptr, nullptr, nullptr);
    sqlite3_close(db);
  };
  execute(c.path, "PRAGMA user_version=99");
  const std::string newer = bytes_of(c.path);
  try {
    TaskStore store(context_.get_executor(), c);
    FAIL();
  } catch (const TaskError& e) {
    EXPECT_EQ(e.code(), TaskErrc::bad_format);
    EXPECT_THAT(e.what(), ::testing::HasSubstr("newer"));
  }
  EXPECT_EQ(bytes_of(c.path), newer);
  const auto expect_refused = [&](const char* name) {
    c.path = dir.file(name);
    const std::string before = bytes_of(c.path);
    EXPECT_EQ(code_of([&] { TaskStore store(context_.get_executor(), c); }), TaskErrc::bad_format);
    EXPECT_EQ(bytes_of(c.path), before) << name;
    EXPECT_FALSE(std::filesystem::exists(c.path + "-wal")) << name;
    EXPECT_FALSE(std::filesystem::exists(c.path + "-reserve")) << name;
  };
  execute(dir.file("other.db"), "CREATE TABLE things(x); INSERT INTO things VALUES(1)");
  expect_refused("other.db");
  std::ofstream(dir.file("text.db")) << std::string(5000, 'z');
  expect_refused("text.db");
  c.path = dir.file("no/such/directory.db");
  EXPECT_EQ(code_of([&] { TaskStore store(context_.get_executor(), c); }), TaskErrc::io_error);
}

TEST_F(FaultTest, ADamagedFileIsRefused) {
  testing::TempDir dir;
  StoreConfig c;
  c.path = dir.file("tasks.db");
  {
    TaskStore store(context_.get_executor(), c);
    for (int i = 0; i < 200; ++i) run(context_, store.create_task("t" + std::to_string(i)));
  }
  {
    std::fstream file(c.path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4096 * 2);
    file << std::string(4096 * 3, '\x55');
  }
  EXPECT_EQ(code_of([&] { TaskStore store(context_.get_executor(), c); }), TaskErrc::bad_format);
}

TEST_F(FaultTest, OneFileHasOneOwner) {
  testing::TempDir dir;
  StoreConfig c;
  c.path = dir.file("tasks.db");
  {
    TaskStore first(context_.get_executor(), c);
    EXPECT_EQ(code_of([&] { TaskStore second(context_.get_executor(), c); }), TaskErrc::locked);
    run(context_, first.create_task("still works"));
  }
  TaskStore next(context_.get_executor(), c);
  EXPECT_TRUE(next.get_task_status("still works"));
}

}  // namespace
}  // namespace reeve::tasks
