// The table `recent` through a store: crashes that leave it, other prefixes in it, faults while it
// is folded.
#include <random>
#include <reeve/tasks/task_store.hpp>

#include "tests/support/pch.hpp"
#include "tests/tasks/support/disk_vfs.hpp"
#include "tests/tasks/support/run.hpp"

namespace reeve::tasks {
namespace {

using testing::Disk;

constexpr int writers = 8;

class RecentStoreTest : public ::testing::Test {
 protected:
  StoreConfig config(const Disk& disk, const char* prefix = "task:") {
    StoreConfig c;
    c.path = "/disk/tasks.db";
    c.vfs = disk.name();
    c.prefix = prefix;
    c.reserve = ByteSize{0};
    c.checkpoint_frames = 16;  // passes of 16 KiB
    return c;
  }
  static std::string id_of(int n) { return "t" + std::to_string(n); }
  boost::asio::awaitable<void> write(TaskStore& store, int n) {
    Fields fields;
    fields.set("pad", std::string(300, 'x')).set("n", ++count_);
    UpdateOptions options;
    options.durability = Durability::sync;
    try {
      auto writing = store.set_task_status(id_of(n), fields, options);
      const TaskRecord r = co_await std::move(writing);
      acknowledged_[r.id()] = std::max(acknowledged_[r.id()], r.revision());
    } catch (const TaskError& e) {
      if (e.code() != TaskErrc::io_error) throw;
      ++refused_;
    }
  }
  /// One write of each writer at a time, so that they share a transaction.
  void round(TaskStore& store, std::mt19937& random) {
    for (int i = 0; i < writers; ++i)
      boost::asio::co_spawn(context_, write(store, static_cast<int>(random() % 40)),
                            [](std::exception_ptr e) {
                              if (e) std::rethrow_exception(e);
                            });
    context_.restart();
    context_.run();
  }
  void expect_acknowledged(const Disk& disk) {
    TaskStore store(context_.get_executor(), config(disk));
    EXPECT_EQ(store.counts().total(), acknowledged_.size());
    for (const auto& [id, revision] : acknowledged_) {
      const auto found = store.get_task_status(id);
      ASSERT_TRUE(found) << id;
      EXPECT_GE(found->revision(), revision) << id;
    }
  }

  Disk disk_{"recent"};
  boost::asio::io_context context_;
  std::map<std::string, std::uint64_t> acknowledged_;
  int count_ = 0, refused_ = 0;
};

TEST_F(RecentStoreTest, ACrashAtAnyPointOfAPassLosesNothing) {
  std::mt19937 random(1);
  TaskStore store(context_.get_executor(), config(disk_));
  for (int i = 0; i < 120; ++i) {
    round(store, random);
    Disk copy("crashed");
    copy.mount(disk_.contents());
    expect_acknowledged(copy);
    expect_acknowledged(copy);  // folded by the close before
    if (HasFatalFailure()) return;
  }
}

TEST_F(RecentStoreTest, AnotherPrefixIsFoldedAsWhatItIs) {
  Disk copy("shared");
  {
    std::mt19937 random(2);
    TaskStore store(context_.get_executor(), config(disk_));
    round(store, random);
    copy.mount(disk_.contents());
  }
  {
    TaskStore other(context_.get_executor(), config(copy, "other:"));
    EXPECT_EQ(other.counts().total(), 0u);
    testing::run(context_, other.create_task("mine"));
  }
  expect_acknowledged(copy);
  TaskStore other(context_.get_executor(), config(copy, "other:"));
  EXPECT_EQ(other.counts().total(), 1u);
}

TEST_F(RecentStoreTest, ADiskThatFailsNowAndThenLosesNothingThatWasAcknowledged) {
  std::mt19937 random(3);
  TaskStore store(context_.get_executor(), config(disk_));
  round(store, random);
  for (int i = 0; i < 300; ++i) {
    disk_.fail_writes(random() % 8 == 0);
    disk_.fail_syncs(random() % 8 == 0);
    round(store, random);
    if (i % 20 != 19) continue;
    Disk copy("crashed-after-faults");
    copy.mount(disk_.contents());
    TaskStore after(context_.get_executor(), config(copy));
    for (const auto& [id, revision] : acknowledged_) {
      const auto found = after.get_task_status(id);
      ASSERT_TRUE(found) << id;
      EXPECT_GE(found->revision(), revision) << id;
    }
  }
  EXPECT_GT(refused_, 100);
}

}  // namespace
}  // namespace reeve::tasks
