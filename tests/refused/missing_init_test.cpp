// This test program does not call reeve::init, so it can have no process workers, and is told why.
#include <reeve/manager.hpp>
#include <reeve/pool.hpp>

#include "tests/support/pch.hpp"

namespace reeve::test {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;

ResourceConfig small_config() {
  ResourceConfig config;
  config.max_workers = 1;
  config.worker_timeout = 5s;
  config.worker_memory = 256_MiB;
  return config;
}

TEST(MissingInit, is_told_with_the_line_that_is_missing_before_anything_is_started) {
  ASSERT_FALSE(initialized());
  boost::asio::io_context context;
  try {
    const ResourcePool pool(context.get_executor(), small_config());
    FAIL() << "nothing was thrown";
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(),
                AllOf(HasSubstr("which was not called"), HasSubstr("first line of main"),
                      HasSubstr("reeve::init(argc, argv);")));
  }
}

TEST(MissingInit, of_a_managers_pool_is_told_by_get_pool) {
  PoolManager manager;
  try {
    manager.get_pool(1);
    FAIL() << "nothing was thrown";
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(),
                AllOf(HasSubstr("reeve::init(argc, argv)"), HasSubstr("ExecutorType::thread")));
  }
  EXPECT_EQ(manager.stats().creations, 0u);
}

int twice(int x) {
  return 2 * x;
}

TEST(MissingInit, thread_workers_need_none) {
  PoolManager manager;
  EXPECT_EQ(manager.get_pool(1, ExecutorType::thread).submit<&twice>(21).get(), 42);
}

}  // namespace
}  // namespace reeve::test
