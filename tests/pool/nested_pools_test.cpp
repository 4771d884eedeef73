// Pools of workers inside of workers: as deep as is sensible, and no deeper.
#include "tests/pool/scenario_support.hpp"

namespace reeve::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

struct Bottom {
  int depth = 0;  // of the worker that could not have a pool
  std::string text;
  std::uint64_t children = 0;  // that it had then
};

std::uint64_t count_children() {
  const std::string self = std::to_string(getpid());
  std::istringstream pids(read_text("/proc/" + self + "/task/" + self + "/children"));
  std::uint64_t count = 0;
  for (std::string pid; pids >> pid;) ++count;
  return count;
}

ResourceConfig nested_config(bool by_exec) {
  ResourceConfig config = small_config();
  config.max_workers = 1;
  config.worker_memory = 8_GiB;  // of a worker and of all below it
  config.worker_timeout = 100s;
  config.exec_each_worker = by_exec;
  return config;
}

Bottom dig(int depth, bool by_exec) {
  asio::io_context context;
  try {
    ResourcePool pool(context.get_executor(), nested_config(by_exec));
    return run_in(context, call_once<&dig>(pool, "level", depth + 1, by_exec), 90s);
  } catch (const ConfigError& error) {
    return {depth, error.what(), count_children()};
  }
}

bool has_thread_workers() {
  asio::io_context context;
  ResourceConfig config = small_config();
  config.isolation = Isolation::thread;
  ResourcePool pool(context.get_executor(), config);
  return run_in(context, call_once<&add>(pool, "thread", 20, 22)) == 42;
}

bool dig_for_threads(int depth) {
  if (depth == 10) return has_thread_workers();
  asio::io_context context;
  ResourcePool pool(context.get_executor(), nested_config(false));
  return run_in(context, call_once<&dig_for_threads>(pool, "level", depth + 1), 90s);
}

// 62
TEST(PoolNesting, ends_at_its_limit_before_anything_is_started) {
  for (const bool by_exec : {false, true}) {
    Mark mark;
    const Bottom bottom = dig(0, by_exec);
    EXPECT_EQ(bottom.depth, 10);
    EXPECT_THAT(bottom.text,
                AllOf(HasSubstr("10 process pools deep"), HasSubstr("inside of each other is 10"),
                      HasSubstr("isolation = thread")));
    EXPECT_EQ(bottom.children, 0u);
    EXPECT_TRUE(mark.gone_within(5s));
  }
}

// 62: what the error advises works.
TEST(PoolNesting, threads_go_on_at_the_limit) {
  EXPECT_TRUE(dig_for_threads(0));
}

}  // namespace
}  // namespace reeve::test
