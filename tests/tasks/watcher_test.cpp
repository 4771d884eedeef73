// Followers: conflation, resume, reset, deletion, close.
#include <boost/asio/bind_cancellation_slot.hpp>
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

TEST_F(WatcherTest, WhoIs65536ChangesBehindResumesAndBeyondStartsOver) {
  auto watcher = store_.watch();
  make("a");
  make("quiet");
  run(context_, store_.start_task("a"));
  std::uint64_t token = 0;
  while (const auto event = watcher.try_next()) token = event->token;
  for (int i = 0; i < 65'536; ++i) ASSERT_TRUE(store_.post_progress("a", 1));
  auto in_time = store_.watch({}, token);
  const auto resumed = in_time.try_next();
  ASSERT_TRUE(resumed);
  EXPECT_EQ(resumed->kind, Kind::changed);
  EXPECT_EQ(resumed->id, "a");
  EXPECT_FALSE(in_time.try_next());

  ASSERT_TRUE(store_.post_progress("a", 2));
  auto late = store_.watch({}, token);
  EXPECT_EQ(late.try_next()->kind, Kind::reset);
  std::set<std::string> ids;
  while (const auto event = late.try_next()) {
    EXPECT_EQ(event->kind, Kind::changed);
    ids.insert(event->id);
  }
  EXPECT_EQ(ids, (std::set<std::string>{"a", "quiet"}));
}

TEST_F(WatcherTest, ACancelledNextLeavesTheEventForTheNextCall) {
  make("a");
  run(context_, store_.start_task("a"));
  for (const bool woken : {false, true}) {  // whether the event is there when it is cancelled
    const double percent = woken ? 20 : 10;
    auto watcher = store_.watch();
    boost::asio::cancellation_signal signal;
    std::exception_ptr failure;
    std::optional<WatchEvent> seen;
    boost::asio::co_spawn(context_, watcher.next(),
                          boost::asio::bind_cancellation_slot(
                              signal.slot(), [&](std::exception_ptr e, WatchEvent event) {
                                failure = e;
                                if (!e) seen = std::move(event);
                              }));
    context_.restart();
    context_.poll();
    signal.emit(boost::asio::cancellation_type::terminal);  // reaches it from the context
    if (woken) {
      ASSERT_TRUE(store_.post_progress("a", percent));
    }
    context_.restart();
    context_.poll();
    ASSERT_TRUE(seen || failure) << "it is still waiting";
    if (!woken) {
      EXPECT_FALSE(seen);
      ASSERT_TRUE(store_.post_progress("a", percent));
    }
    if (!seen) seen = watcher.try_next();
    ASSERT_TRUE(seen && seen->record) << "the event is lost";
    EXPECT_EQ(seen->record->progress(), percent);
    EXPECT_FALSE(watcher.try_next());
  }
}

TEST(WatcherExpiry, ShowsAsADeletion) {
  boost::asio::io_context context;
  ManualClock clock;
  ManualWallClock wall;
  StoreConfig config;
  config.clock = &clock;
  config.wall_clock = &wall;
  TaskStore store(context.get_executor(), config);
  CreateOptions brief;
  brief.ttl = std::chrono::milliseconds{10};
  run(context, store.create_task("a", Fields(), brief));
  auto slow = store.watch();
  run(context, store.start_task("a"));
  run(context, store.complete_task("a"));
  auto follower = store.watch();
  EXPECT_FALSE(follower.try_next());
  clock.advance(brief.ttl);
  wall.advance(brief.ttl);
  // What has expired is never shown, also by an event that waited.
  const auto waited = slow.try_next();
  ASSERT_TRUE(waited);
  EXPECT_EQ(waited->kind, Kind::deleted);
  EXPECT_FALSE(waited->record);
  store.remove_expired();  // or the store's thread at the same time
  const auto event = run(context, follower.next());
  EXPECT_EQ(event.kind, Kind::deleted);
  EXPECT_EQ(event.id, "a");
  EXPECT_FALSE(event.record);
}

TEST_F(WatcherTest, AStateFilterLetsEveryDeletionPass) {
  WatchFilter running;
  running.states.push_back(TaskState::running);
  auto watcher = store_.watch(running);
  for (const char* id : {"never ran", "ran", "ended"}) make(id);
  EXPECT_FALSE(watcher.try_next());
  run(context_, store_.start_task("ran"));
  const auto first = watcher.try_next();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->id, "ran");
  run(context_, store_.complete_task("ran"));
  EXPECT_FALSE(watcher.try_next());
  run(context_, store_.delete_task_status("never ran"));
  run(context_, store_.delete_task_status("ran"));
  run(context_, store_.start_task("ended"));
  run(context_, store_.complete_task("ended"));
  auto resumed = store_.watch(running, first->token);
  for (Watcher* w : {&watcher, &resumed}) {
    for (const char* id : {"never ran", "ran"}) {
      const auto event = w->try_next();
      ASSERT_TRUE(event);
      EXPECT_EQ(event->kind, Kind::deleted);
      EXPECT_EQ(event->id, id);
    }
    const auto ended = w->try_next();  // it was running, and what it is now is told
    ASSERT_TRUE(ended);
    ASSERT_TRUE(ended->record);
    EXPECT_EQ(ended->record->state(), TaskState::completed);
    EXPECT_FALSE(w->try_next());
  }
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
