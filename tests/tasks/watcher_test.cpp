// Followers: conflation, resume, reset, deletion, close.
#include <reeve/tasks/task_store.hpp>
#include <set>

#include "tests/support/pch.hpp"
#include "tests/tasks/support/run.hpp"

namespace reeve::tasks {
namespace {

using testing::run;
using Kind = WatchEvent::Kind;

class WatcherTest : public ::testing::Test {
 protected:
  void make(const char* id) { run(context_, store_.create_task(id)); }

  boost::asio::io_context context_;
  TaskStore store_{context_.get_executor()};
};

TEST_F(WatcherTest, FoldsVersionsIntoTheLast) {
  auto watcher = store_.watch();
  make("a");
  run(context_, store_.start_task("a"));
  for (int i = 1; i <= 50; ++i) store_.post_progress("a", i);
  run(context_, store_.complete_task("a"));
  const auto event = watcher.try_next();
  ASSERT_TRUE(event);
  EXPECT_EQ(event->record->state(), TaskState::completed);
  EXPECT_FALSE(watcher.try_next());
}

TEST_F(WatcherTest, WakesASleepingFollower) {
  auto watcher = store_.watch();
  WatchEvent seen;
  auto follow = [&]() -> boost::asio::awaitable<void> { seen = co_await watcher.next(); };
  auto act = [&]() -> boost::asio::awaitable<void> { co_await store_.create_task("a"); };
  boost::asio::co_spawn(context_, follow(), boost::asio::detached);
  boost::asio::co_spawn(context_, act(), boost::asio::detached);
  context_.run();
  EXPECT_EQ(seen.id, "a");
}

TEST_F(WatcherTest, FiltersByIdPrefixAndState) {
  WatchFilter by_id, by_prefix, by_state;
  by_id.id = "x1";
  by_prefix.id_prefix = "x";
  by_state.states.push_back(TaskState::running);
  auto one = store_.watch(by_id), some = store_.watch(by_prefix), running = store_.watch(by_state);
  for (const char* id : {"x1", "x2", "y1"}) make(id);
  run(context_, store_.start_task("y1"));
  const auto count = [](Watcher& w) {
    int n = 0;
    while (w.try_next()) ++n;
    return n;
  };
  EXPECT_EQ(count(one), 1);
  EXPECT_EQ(count(some), 2);
  EXPECT_EQ(running.try_next()->id, "y1");
}

TEST_F(WatcherTest, DeletionArrivesAsATombstone) {
  make("a");
  auto watcher = store_.watch();
  run(context_, store_.delete_task_status("a"));
  const auto event = watcher.try_next();
  EXPECT_EQ(event->kind, Kind::deleted);
  EXPECT_EQ(event->id, "a");
}

TEST_F(WatcherTest, ResumesAfterATokenWithoutLosingAnything) {
  auto first = store_.watch();
  for (const char* id : {"a", "b", "c"}) make(id);
  const auto token = first.try_next()->token;
  make("d");
  auto second = store_.watch({}, token);
  std::set<std::string> ids;
  while (const auto event = second.try_next()) ids.insert(event->id);
  EXPECT_EQ(ids, (std::set<std::string>{"b", "c", "d"}));
}

TEST_F(WatcherTest, ATokenOfAnotherStoreResetsToASnapshot) {
  make("a");
  make("b");
  auto watcher = store_.watch({}, 12345);
  EXPECT_EQ(watcher.try_next()->kind, Kind::reset);
  const auto a = watcher.try_next();
  EXPECT_EQ(a->id, "a");
  auto again = store_.watch({}, a->token);
  EXPECT_EQ(again.try_next()->kind, Kind::reset) << "a half-read snapshot starts over";
  const auto b = watcher.try_next();
  EXPECT_EQ(b->id, "b");
  auto resumed = store_.watch({}, b->token);
  EXPECT_FALSE(resumed.try_next());
}

TEST_F(WatcherTest, CloseIsTheLastEvent) {
  auto watcher = store_.watch();
  store_.close();
  EXPECT_EQ(run(context_, watcher.next()).kind, Kind::closed);
}

RC_GTEST_PROP(WatcherProperty, AnInterruptedFollowerEndsWithTheStoresState, ()) {
  boost::asio::io_context context;
  TaskStore store(context.get_executor());
  std::map<std::string, std::uint64_t> mirror;
  auto watcher = std::make_unique<Watcher>(store.watch());
  std::uint64_t token = 0;
  const auto steps = *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 100));
  const auto follow = [&](int most) {
    for (int i = 0; i < most; ++i) {
      const auto event = watcher->try_next();
      if (!event) break;
      token = event->token;
      if (event->kind == Kind::reset) mirror.clear();
      if (event->kind == Kind::changed) mirror[event->id] = event->record->revision();
      if (event->kind == Kind::deleted) mirror.erase(event->id);
    }
  };
  for (const int step : steps) {
    const std::string id = "t" + std::to_string(step % 5);
    try {
      if (step < 30)
        run(context, store.create_task(id));
      else if (step < 45)
        run(context, store.start_task(id));
      else if (step < 60)
        store.post_progress(id, step);
      else if (step < 70)
        run(context, store.complete_task(id));
      else if (step < 80)
        run(context, store.delete_task_status(id, true));
      else if (step < 95)
        follow(step % 3);
      else if (token != 0)
        watcher = std::make_unique<Watcher>(store.watch({}, token));
    } catch (const TaskError&) {
    }
  }
  follow(1000);
  std::map<std::string, std::uint64_t> truth;
  for (const auto& r : store.list_tasks().items) truth[r.id()] = r.revision();
  RC_ASSERT(mirror == truth);
}

}  // namespace
}  // namespace reeve::tasks
