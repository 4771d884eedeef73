// Coroutines that use a store are destroyed after each of their steps, and stores under their
// coroutines: every frame goes, every lease comes back, the store works on.
#include <boost/asio/strand.hpp>
#include <reeve/pool.hpp>
#include <reeve/tasks/tracking.hpp>
#include <sstream>

#include "tests/pool/pool_test_support.hpp"
#include "tests/tasks/support/disk_vfs.hpp"

namespace reeve::tasks {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using namespace std::chrono_literals;

using Token = std::shared_ptr<int>;  // one copy per living frame

constexpr int roles = 4;
constexpr int most_steps = 2000;

int twice(int x) {
  return 2 * x;
}

/// What goes on in one run: the ids of its own, and how many of its coroutines have ended.
struct Scene {
  Scene(TaskStore& of, int number) : store(of), name("run-" + std::to_string(number) + "-") {}
  std::string id(std::string_view what) const { return name + std::string(what); }
  bool over(int all) const { return ended == all || !failure.empty(); }

  TaskStore& store;
  const std::string name;
  int ended = 0;
  std::string failure;
};

/// Starts a coroutine of the scene; that the store has been closed is no failure.
template <class Executor>
void spawn(const Executor& executor, Scene& scene, awaitable<void> work) {
  asio::co_spawn(executor, std::move(work), [&scene](std::exception_ptr thrown) {
    try {
      if (thrown) std::rethrow_exception(thrown);
    } catch (const TaskError& error) {
      if (error.code() != TaskErrc::closed) scene.failure = error.what();
    } catch (const std::exception& error) {
      scene.failure = error.what();
    }
  });
}

/// Every verb of a writer. The body is large: bytes under way that nobody gives back would soon
/// stop all writers.
awaitable<void> writer(Scene& scene, [[maybe_unused]] Token token) {
  TaskStore& store = scene.store;
  Fields body;
  body.set("v", std::string(40'000, 'x'));
  const std::string id = scene.id("written");
  co_await store.create_task(id, body);
  co_await store.start_task(id);
  UpdateOptions sync;
  sync.durability = Durability::sync;
  Fields none;
  co_await store.update_task_progress(id, 50, none, sync);
  co_await store.flush();
  const auto soon = WallTime{std::chrono::milliseconds{store.config().wall_clock->now_ms()}};
  co_await store.schedule_retry(id, soon, "once more");
  co_await store.start_task(id);
  co_await store.cancel_task(id);
  co_await store.acknowledge_cancel(id);
  const bool there = co_await store.delete_task_status(id);
  EXPECT_TRUE(there);
  std::istringstream lines(R"({"id":")" + scene.id("imported") + R"(","status":"pending"})");
  const ImportReport report = co_await store.import_jsonl(lines);
  EXPECT_EQ(report.imported, 1u);
  ++scene.ended;
}

/// A task that another coroutine waits for and a third one watches.
awaitable<void> worker(Scene& scene, [[maybe_unused]] Token token) {
  TaskStore& store = scene.store;
  const std::string id = scene.id("awaited");
  co_await store.start_task(id);
  Json result = Json::number(std::int64_t{1});
  co_await store.complete_task(id, result);
  co_await store.cleanup_old_tasks(1h);
  ++scene.ended;
}

awaitable<void> waiter(Scene& scene, [[maybe_unused]] Token token) {
  TaskStore& store = scene.store;
  const std::string id = scene.id("awaited");
  const TaskRecord record = co_await store.wait(id, 30s);
  EXPECT_EQ(record.result(), "1");
  const TaskRecord again = co_await store.wait(id);
  EXPECT_EQ(again.state(), TaskState::completed);
  ++scene.ended;
}

awaitable<void> watcher(Scene& scene, [[maybe_unused]] Token token) {
  TaskStore& store = scene.store;
  WatchFilter filter;
  filter.id = scene.id("awaited");
  Watcher events = store.watch(filter);
  co_await store.create_task(filter.id);
  const auto executor = co_await asio::this_coro::executor;
  spawn(executor, scene, worker(scene, token));
  spawn(executor, scene, waiter(scene, token));
  for (bool done = false; !done;) {
    const WatchEvent event = co_await events.next();
    if (event.kind == WatchEvent::Kind::closed) co_return;
    done = event.record && event.record->state() == TaskState::completed;
  }
  ++scene.ended;
}

/// Starts one of each; the writer on a strand of its own.
void start(asio::io_context& context, Scene& scene, const Token& token) {
  const auto strand = asio::make_strand(context);
  spawn(strand, scene, writer(scene, token));
  spawn(context.get_executor(), scene, watcher(scene, token));
}

/// Runs `steps` handlers of `context`, fewer if `done`. The store's own thread works beside it, and
/// `others` between.
template <class Done, class Others>
void make_steps(asio::io_context& context, int steps, Done done, Others others) {
  const auto until = std::chrono::steady_clock::now() + 20s;
  for (int step = 0; step < steps && !done();) {
    ASSERT_LT(std::chrono::steady_clock::now(), until) << "it hangs after " << step << " steps";
    context.restart();
    step += context.run_one_for(1ms) > 0;
    others();
  }
}

enum class Kept { in_memory, on_disk };

class TasksTeardown : public ::testing::TestWithParam<Kept> {
 protected:
  StoreConfig config() {
    StoreConfig c;
    c.queue_max = ByteSize{1ULL << 20};
    c.retention = Retention();
    if (GetParam() == Kept::in_memory) return c;
    disk_.record(false);
    c.path = "teardown.db";
    c.vfs = disk_.name();
    c.reserve = ByteSize{0};
    return c;
  }
  /// In memory a writer never waits; on disk the count depends on who shares a commit.
  static int least_steps() { return GetParam() == Kept::in_memory ? 4 : 12; }
  testing::Disk disk_{"teardown-disk"};
};

// The users' context goes, the store stays: nobody is left in its queues.
TEST_P(TasksTeardown, of_its_users_after_each_step_leaves_a_store_that_works) {
  asio::io_context own;
  TaskStore store(own.get_executor(), config());
  const Token token = std::make_shared<int>(0);
  bool whole = false;
  int steps = 0;
  for (; !whole && steps < most_steps; ++steps) {
    Scene scene(store, steps);
    {
      asio::io_context context;
      start(context, scene, token);
      make_steps(context, steps, [&] { return scene.over(roles); }, [] {});
      whole = scene.ended == roles;
    }
    ASSERT_EQ(token.use_count(), 1) << "a frame is left after " << steps << " steps";
    ASSERT_FALSE(HasFatalFailure());
    ASSERT_EQ(scene.failure, "") << "after " << steps << " steps";
  }
  EXPECT_TRUE(whole) << "not even the last run came to its end";
  EXPECT_GT(steps, least_steps());
  EXPECT_FALSE(store.health().degraded);
  const auto page = [](TaskStore& of) -> awaitable<std::size_t> {
    co_await of.flush();
    co_return of.list_tasks().items.size();
  };
  EXPECT_GT(test::run_in(own, page(store)), 0u);
}

// The store goes first: whoever waits is told, or goes with the context.
TEST_P(TasksTeardown, of_the_store_after_each_step_leaves_no_frame) {
  const Token token = std::make_shared<int>(0);
  bool whole = false;
  int steps = 0;
  for (; !whole && steps < most_steps; ++steps) {
    const bool run_on = steps % 2 == 0;
    asio::io_context context;
    std::optional<TaskStore> store(std::in_place, context.get_executor(), config());
    Scene scene(*store, steps);
    start(context, scene, token);
    make_steps(context, steps, [&] { return scene.over(roles); }, [] {});
    ASSERT_FALSE(HasFatalFailure());
    ASSERT_EQ(scene.failure, "") << "after " << steps << " steps";
    whole = scene.ended == roles;
    if (run_on) {
      // Each is told by an exception, which ends it: the context has nothing more to do.
      store->close();
      context.restart();
      context.run_for(20s);
      ASSERT_EQ(token.use_count(), 1) << "one still waits after " << steps << " steps";
    } else {
      store.reset();
    }
  }
  EXPECT_EQ(token.use_count(), 1);
  EXPECT_TRUE(whole) << "not even the last run came to its end";
  EXPECT_GT(steps, least_steps());
}

/// Tracked work on a leased worker, which fails the first time.
awaitable<Json> leased(ResourcePool pool, ProgressSink progress, [[maybe_unused]] Token token) {
  auto lease = co_await pool.acquire_worker("tracked");
  progress(20);
  const int four = co_await lease.run<&twice>(2);
  progress(60);
  if (progress.attempt() == 1) throw std::runtime_error("the first attempt");
  co_return Json::number(std::int64_t{four});
}

awaitable<void> track(Scene& scene, int number, ResourcePool pool, Token token) {
  const TrackedWork work = [pool, token](ProgressSink progress) {
    return leased(pool, std::move(progress), token);
  };
  TrackOptions options;
  options.tries_max = 2;
  options.backoff_min = options.backoff_max = 1ms;
  options.time_limit = 30s;
  const std::string id = scene.id("tracked-" + std::to_string(number));
  auto tracking = tracked(scene.store, id, work, options);
  const TrackReport report = co_await std::move(tracking);
  EXPECT_EQ(report.state, TaskState::completed) << report.error;
  EXPECT_EQ(report.attempts, 2);
  ++scene.ended;
}

TEST_P(TasksTeardown, of_tracked_work_after_each_step_returns_every_lease) {
  asio::io_context pools;
  ResourceConfig workers = test::small_config();
  workers.isolation = Isolation::thread;
  workers.quarantine_max = 1000;
  ResourcePool pool(pools.get_executor(), workers);
  test::run_in(pools, pool.warm_up(2));
  TaskStore store(pools.get_executor(), config());
  const Token token = std::make_shared<int>(0);
  constexpr int lives = 3;  // one more than there are workers: somebody waits
  bool whole = false;
  int steps = 0;
  for (; !whole && steps < most_steps; ++steps) {
    Scene scene(store, steps);
    {
      asio::io_context context;
      for (int i = 0; i < lives; ++i)
        spawn(context.get_executor(), scene, track(scene, i, pool, token));
      const auto work_of_pools = [&pools] {
        pools.restart();
        pools.poll();
      };
      make_steps(context, steps, [&] { return scene.over(lives); }, work_of_pools);
      whole = scene.ended == lives;
    }
    ASSERT_EQ(token.use_count(), 1) << "a frame is left after " << steps << " steps";
    ASSERT_FALSE(HasFatalFailure());
    ASSERT_EQ(scene.failure, "") << "after " << steps << " steps";
    const auto settled = [&pool] {
      const PoolStatus status = pool.status();
      return status.active_tasks == 0 && status.waiting == 0 && status.available_workers == 2;
    };
    ASSERT_TRUE(test::run_until(pools, settled)) << "a lease is lost after " << steps << " steps";
  }
  EXPECT_TRUE(whole) << "not even the last run came to its end";
  EXPECT_GT(steps, 20);
}

INSTANTIATE_TEST_SUITE_P(Kept, TasksTeardown, ::testing::Values(Kept::in_memory, Kept::on_disk),
                         [](const auto& test) {
                           return test.param == Kept::in_memory ? "in_memory" : "on_disk";
                         });

// What was submitted is still written when its coroutine, and the context, have gone meanwhile: the
// store's thread must not touch that context then. The coroutine runs on a strand, which lives in
// the context.
TEST(TasksTeardownOfAContext, DuringASyncLeavesNothingToTouch) {
  testing::Disk disk("held-disk");
  asio::io_context own;
  StoreConfig config;
  config.path = "held.db";
  config.vfs = disk.name();
  TaskStore store(own.get_executor(), config);
  for (int i = 0; i < 20; ++i) {
    const Token token = std::make_shared<int>(0);
    const std::string id = "held-" + std::to_string(i);
    const auto create = [](TaskStore& in, std::string name, Token) -> awaitable<void> {
      co_await in.create_task(name);
    };
    auto context = std::make_unique<asio::io_context>();
    disk.hold_syncs(true);
    asio::co_spawn(asio::make_strand(*context), create(store, id, token), asio::detached);
    context->poll();
    while (!disk.somebody_syncs()) std::this_thread::yield();
    context.reset();
    EXPECT_EQ(token.use_count(), 1);
    disk.hold_syncs(false);
    test::run_in(own, store.flush());
    EXPECT_TRUE(store.get_task_status(id));
  }
}

}  // namespace
}  // namespace reeve::tasks
