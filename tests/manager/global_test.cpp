// The global manager, and how programs with managers end: exit(), static destructors, fork().
#include <cstdlib>
#include <random>

#include "tests/manager/manager_test_support.hpp"
#include "tests/pool/scenario_support.hpp"

namespace reeve::test {
namespace {

// ------------------------------------------------------------------------------------------------
// One instance

TEST(GlobalManager, is_one) {
  EXPECT_EQ(&global_pool_manager(), &global_pool_manager());
  EXPECT_FALSE(global_pool_manager().is_shutdown());
}

TEST(GlobalManager, is_one_for_all_threads) {
  shutdown_global_pool_manager();
  std::vector<PoolManager*> seen(10);
  std::vector<std::thread> threads;
  for (auto& mine : seen) threads.emplace_back([&mine] { mine = &global_pool_manager(); });
  for (auto& each : threads) each.join();
  for (const PoolManager* mine : seen) EXPECT_EQ(mine, seen.front());
}

TEST(GlobalManager, reuses) {
  const ManagedPool first = global_pool_manager().get_pool(2, thread);
  EXPECT_EQ(global_pool_manager().get_pool(2, thread), first);
}

// 67
TEST(GlobalManager, there_is_a_new_one_after_its_shutdown) {
  PoolManager& old = global_pool_manager();
  const ManagedPool held = old.get_pool(2, thread);
  shutdown_global_pool_manager();
  shutdown_global_pool_manager();
  EXPECT_NE(&global_pool_manager(), &old);
  EXPECT_TRUE(old.is_shutdown());  // an old reference stays good
  EXPECT_THROW(old.get_pool(2, thread), PoolClosedError);
  EXPECT_EQ(global_pool_manager().get_pool(2, thread).map<&square>(std::vector{3}), std::vector{9});
}

// ------------------------------------------------------------------------------------------------
// Programs that end. Each is this program once more, with one of the disabled tests.

// The bounds catch what never ends, and nothing else: with seven other compilers and tests on two
// processors, under ThreadSanitizer, the longest program took 1.6 s and its workers 0.3 s more.
void expect_clean_end(const std::string& test, int count, const std::string& argument = {}) {
  double longest_run = 0, longest_rest = 0;
  for (int i = 0; i < count; ++i) {
    Mark mark;
    auto from = std::chrono::steady_clock::now();
    Victim program(test, argument);
    const auto status = program.wait_status(20s);
    longest_run = std::max(longest_run, seconds_since(from));
    ASSERT_TRUE(status) << test << " did not end";
    ASSERT_TRUE(WIFEXITED(*status)) << test << " ended by signal " << WTERMSIG(*status);
    ASSERT_EQ(WEXITSTATUS(*status), 0) << test;
    from = std::chrono::steady_clock::now();
    ASSERT_TRUE(mark.gone_within(5s)) << test << " left processes behind";
    longest_rest = std::max(longest_rest, seconds_since(from));
  }
  std::printf("%s %s: ended within %.2f s, gone within %.2f s more\n", test.c_str(),
              argument.c_str(), longest_run, longest_rest);
}

[[noreturn]] void map_for_ever(ExecutorType type) {
  for (;;) {
    const auto squares = global_pool_manager().get_pool(2, type).map<&square>(std::vector{1, 2});
    if (squares != std::vector{1, 4}) std::abort();
  }
}

/// exit(), some time later, on a thread of its own.
void exit_soon() {
  std::thread([] {
    std::mt19937 random(std::random_device{}());
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 30'000));
    std::exit(0);
  }).detach();
}

TEST(ManagerVictim, DISABLED_exits_while_others_call) {
  exit_soon();
  const ExecutorType type = parse_executor_type(Victim::argument());
  for (int i = 0; i < 3; ++i) std::thread([type] { map_for_ever(type); }).detach();
  map_for_ever(type);
}

TEST(ManagerExit, exit_in_another_thread_while_calls_run) {
  expect_clean_end("ManagerVictim.DISABLED_exits_while_others_call", 20, "process");
  expect_clean_end("ManagerVictim.DISABLED_exits_while_others_call", 20, "thread");
}

TEST(ManagerVictim, DISABLED_exits_in_mid_call) {
  auto endless = global_pool_manager().get_pool(2).submit<&spin>();
  const ManagedPool pool = global_pool_manager().get_pool(2);
  while (pool->load() == 0) std::this_thread::yield();
  std::exit(0);
}

TEST(ManagerExit, without_any_call_and_with_a_task_that_never_ends) {
  expect_clean_end("ManagerVictim.DISABLED_exits_in_mid_call", 5);
}

/// Works in its destructor, when main is long over.
struct LastWill {
  ~LastWill() {
    if (!armed) return;
    const auto squares =
        global_pool_manager().get_pool(2, process).map<&square>(std::vector{1, 2, 3});
    if (squares != std::vector{1, 4, 9}) std::abort();
  }
  bool armed = false;
};
LastWill last_will;         // made before everything, destroyed after it
ManagedPool static_handle;  // of the global manager
std::optional<PoolManager> static_manager;
ManagedPool handle_of_static_manager;  // destroyed before it

void fill_statics() {
  static_handle = global_pool_manager().get_pool(3, thread);
  static_handle.warm_up();
  static_manager.emplace();
  handle_of_static_manager = static_manager->get_pool(2, process);
  handle_of_static_manager.warm_up();
}

TEST(ManagerVictim, DISABLED_has_statics) {
  fill_statics();
  last_will.armed = true;
  std::exit(0);
}

TEST(ManagerExit, static_destructors_may_use_it) {
  expect_clean_end("ManagerVictim.DISABLED_has_statics", 5);
}

int leave_from_worker() {
  std::exit(0);
}

// Static destructors then run on that thread.
TEST(ManagerVictim, DISABLED_exits_on_a_thread_of_ours) {
  fill_statics();
  if (Victim::argument() == "background") {
    asio::post(static_manager->executor(), [] { std::exit(0); });
  } else {
    static_manager->get_pool(1, thread).submit<&leave_from_worker>();
  }
  for (;;) pause();
}

TEST(ManagerExit, exit_on_the_background_thread_and_on_a_worker_thread) {
  expect_clean_end("ManagerVictim.DISABLED_exits_on_a_thread_of_ours", 3, "background");
  expect_clean_end("ManagerVictim.DISABLED_exits_on_a_thread_of_ours", 3, "worker");
}

// ------------------------------------------------------------------------------------------------
// fork

/// In a child of fork(): what is the parent's says so, what is new works, and the end is quiet.
int live_in_child(bool work) {
  try {
    handle_of_static_manager.submit<&square>(2);
    return 1;
  } catch (const PoolClosedError& error) {
    if (std::string(error.what()).find("fork") == std::string::npos) return 2;
  }
  try {
    static_manager->get_pool(2, thread);
    return 3;
  } catch (const PoolClosedError&) {
  }
  if (work && global_pool_manager().get_pool(2, thread).submit<&square>(3).get() != 9) return 4;
  return 0;
}

TEST(ManagerVictim, DISABLED_forks) {
  fill_statics();
  PoolManager& of_parent = global_pool_manager();
  const ManagedPool on_stack = static_manager->get_pool(2, process);
  std::atomic<bool> stop{false};
  std::thread busy([&] {  // so that the child is born while locks are taken
    while (!stop) {
      of_parent.get_pool(2, thread).map<&square>(std::vector{1});
      std::this_thread::sleep_for(
          20us);  // two of these starve the workers of a machine with 2 CPUs
    }
  });
  // ThreadSanitizer ends a child of fork() that starts a thread, if its parent had several.
  constexpr bool may_work = !thread_sanitizer;
  bool fine = true;
  for (int i = 0; i < 10; ++i) {
    const pid_t child = fork();
    if (child == 0) std::exit(live_in_child(may_work));
    int status = 0;
    waitpid(child, &status, 0);
    fine = fine && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    fine = fine && on_stack.submit<&square>(4).get() == 16;  // the parent's are as they were
  }
  stop = true;
  busy.join();
  std::exit(fine ? 0 : 1);
}

/// What threads of the parent held alone is no leak of the child, though LeakSanitizer says so.
struct NoLeakCheck {
  NoLeakCheck() { setenv("ASAN_OPTIONS", "detect_leaks=0", 1); }
  ~NoLeakCheck() { unsetenv("ASAN_OPTIONS"); }
};

// 68
TEST(ManagerFork, children_end_quietly_and_parents_go_on) {
  const NoLeakCheck of_programs_started_here;
  expect_clean_end("ManagerVictim.DISABLED_forks", 3);
}

TEST(ManagerVictim, DISABLED_child_returns_through_scopes) {
  pid_t child = -1;
  {
    PoolManager manager;
    const ManagedPool pool = manager.get_pool(2, process);
    pool.warm_up();
    child = fork();
    if (child != 0) {
      int status = 0;
      waitpid(child, &status, 0);
      if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) std::exit(1);
      if (pool.submit<&square>(4).get() != 16) std::exit(2);
    }
  }  // destructors run in the child, too
  std::exit(0);
}

// 68
TEST(ManagerFork, destructors_in_a_child_do_nothing) {
  const NoLeakCheck of_programs_started_here;
  expect_clean_end("ManagerVictim.DISABLED_child_returns_through_scopes", 3);
}

}  // namespace
}  // namespace reeve::test
