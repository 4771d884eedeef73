// Types and numbers of workers, and their errors.
#include "tests/manager/manager_test_support.hpp"

namespace reeve::test {
namespace {

TEST(ExecutorTypeText, both_ways) {
  for (const ExecutorType type : {process, thread}) {
    EXPECT_EQ(parse_executor_type(to_string(type)), type);
  }
  EXPECT_EQ(isolation_of(process), Isolation::process);
  EXPECT_EQ(isolation_of(thread), Isolation::thread);
}

TEST(ExecutorTypeText, an_unknown_one_is_named) {
  EXPECT_EQ(text_of<ConfigError>([] { parse_executor_type("fiber"); }),
            "executor_type must be 'process' or 'thread', got 'fiber'");
}

TEST(JobCount, keeps_what_it_was_given) {
  EXPECT_EQ(JobCount(3).checked(), 3u);
  EXPECT_EQ(JobCount(std::size_t{7}).checked(), 7u);
  EXPECT_EQ(text_of<ConfigError>([] { (void)JobCount(0).checked(); }),
            "n_jobs must be positive, got 0");
  EXPECT_EQ(text_of<ConfigError>([] { (void)JobCount(-1).checked(); }),
            "n_jobs must be positive, got -1");
  EXPECT_EQ(JobCount(~std::uint64_t{0}).value(), std::numeric_limits<std::int64_t>::max());
}

}  // namespace
}  // namespace reeve::test
