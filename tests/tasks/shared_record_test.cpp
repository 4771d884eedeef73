// A record that nobody holds is changed in place; one that somebody holds never changes.
#include <atomic>
#include <cmath>
#include <thread>

#include "tests/support/pch.hpp"
#include "tests/tasks/support/run.hpp"

namespace reeve::tasks {
namespace {

using testing::run;

class SharedRecordTest : public ::testing::TestWithParam<bool> {
 protected:
  SharedRecordTest() {
    run(context_, store_.create_task("t"));
    run(context_, store_.start_task("t"));
  }
  StoreConfig config() {
    StoreConfig c;
    if (GetParam()) c.path = dir_.file("tasks.db");
    return c;
  }

  testing::TempDir dir_;
  boost::asio::io_context context_;
  TaskStore store_{context_.get_executor(), config()};
};

INSTANTIATE_TEST_SUITE_P(Backends, SharedRecordTest, ::testing::Values(false, true),
                         [](const auto& i) { return i.param ? "Sqlite" : "Memory"; });

TEST_P(SharedRecordTest, WhatIsHeldStaysAsItWas) {
  for (int percent = 1; percent < 90; percent += 3) {
    ASSERT_TRUE(store_.post_progress("t", percent));
    const auto held = store_.get_task_status("t");
    ASSERT_TRUE(store_.post_progress("t", percent + 1));
    ASSERT_TRUE(store_.post_progress("t", percent + 2));
    const auto now = store_.get_task_status("t");
    EXPECT_EQ(held->progress(), percent);
    EXPECT_EQ(now->progress(), percent + 2);
    EXPECT_EQ(now->revision(), held->revision() + 2);
  }
}

TEST_P(SharedRecordTest, AWatcherSeesWhatWasChangedInPlace) {
  Watcher watcher = store_.watch({}, 0);
  for (int percent = 1; percent <= 3; ++percent) {
    ASSERT_TRUE(store_.post_progress("t", percent));
    const auto event = watcher.try_next();
    ASSERT_TRUE(event && event->record);
    EXPECT_EQ(event->record->progress(), percent);
  }
}

TEST_P(SharedRecordTest, AReaderOfAnotherThreadSeesWholeVersionsOnly) {
  // One revision is one step of progress: a version half written would show another pair.
  const auto first = store_.get_task_status("t")->revision();
  std::atomic<bool> stop{false};
  std::atomic<int> torn{0}, reads{0};
  std::thread reader([&] {
    while (!stop) {
      const auto seen = store_.get_task_status("t");
      const auto before = seen->progress();
      std::this_thread::yield();
      const auto steps = static_cast<double>(seen->revision() - first);
      if (before != seen->progress() || std::abs(steps - before * 100) > 0.5) ++torn;
      ++reads;
    }
  });
  for (int step = 1; step <= 10'000; ++step) {
    store_.post_progress("t", step / 100.0);
    if (step % 500 != 0) continue;
    for (const int before = reads; reads == before;) std::this_thread::yield();
  }
  stop = true;
  reader.join();
  EXPECT_EQ(torn, 0);
  EXPECT_EQ(store_.get_task_status("t")->progress(), 100);
}

TEST(SharedRecordFileTest, WhatIsChangedInPlaceReachesTheDisk) {
  const testing::TempDir dir;
  StoreConfig config;
  config.path = dir.file("tasks.db");
  boost::asio::io_context context;
  {
    TaskStore store(context.get_executor(), config);
    run(context, store.create_task("t"));
    run(context, store.start_task("t"));
    for (int percent = 0; percent <= 40; ++percent) {
      ASSERT_TRUE(store.post_progress("t", percent));
      // A batch of one row goes into the table: nobody but the store has the record then.
      if (percent < 40) run(context, store.flush());
    }
  }
  const TaskStore again(context.get_executor(), config);
  EXPECT_EQ(again.get_task_status("t")->progress(), 40);
}

}  // namespace
}  // namespace reeve::tasks
