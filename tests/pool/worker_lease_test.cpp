// A lease from acquire to release: calls, results, exceptions.
#include <reeve/pool/worker_lease.hpp>

#include <unistd.h>

#include "tests/pool/pool_test_support.hpp"

namespace reeve::test {
namespace {

asio::awaitable<int> call_add(ResourcePool& pool) {
  auto worker = co_await pool.acquire_worker("add");
  co_return co_await worker.run<&add>(20, 22);
}

TEST(WorkerLease, runs_a_function_in_another_process_and_returns_its_result) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  EXPECT_EQ(run_in(context, call_add(pool)), 42);
}

int process_id() {
  return getpid();
}

asio::awaitable<std::vector<int>> call_twice(ResourcePool& pool) {
  std::vector<int> pids;
  for (int i = 0; i < 2; ++i) {
    auto worker = co_await pool.acquire_worker("pid");
    pids.push_back(co_await worker.run<&process_id>());
  }
  co_return pids;
}

TEST(WorkerLease, worker_is_reused_and_is_not_this_process) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  const auto pids = run_in(context, call_twice(pool));
  EXPECT_EQ(pids[0], pids[1]);
  EXPECT_NE(pids[0], getpid());
}

std::string fail(std::string text) {
  throw std::out_of_range(text);
}

asio::awaitable<void> call_fail(ResourcePool& pool) {
  auto worker = co_await pool.acquire_worker("fail");
  co_await worker.run<&fail>("no such item");
}

TEST(WorkerLease, standard_exception_comes_back_as_itself) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  try {
    run_in(context, call_fail(pool));
    FAIL() << "nothing was thrown";
  } catch (const std::out_of_range& e) {
    EXPECT_STREQ(e.what(), "no such item");
  }
}

// ------------------------------------------------------------------------------------------------
// The worker grows the channel for a result that is then cut back: the next lease sends more than
// the program thinks the channel holds.

constexpr auto two_megabytes_or_throw = [](int x) {
  if (x == 1) throw std::runtime_error("item 1");
  return std::vector<char>(2'000'000, 'x');
};

asio::awaitable<void> map_and_throw(ResourcePool& pool) {
  auto worker = co_await pool.acquire_worker("a");
  MapOptions options;
  options.chunk = 2;
  const std::vector<int> items{0, 1};
  co_await worker.map(two_megabytes_or_throw, items, options);
}

std::vector<std::string> many_texts(std::size_t count) {
  return std::vector<std::string>(count, std::string(10'000, 't'));
}

std::size_t size_of(const std::vector<char>& bytes) {
  return bytes.size();
}

void take(const std::vector<char>&) {}

TEST(WorkerLease, large_arguments_and_no_result_travel) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  for (const std::size_t size : {10'000u, 100'001u, 200'000u, 1'000'001u}) {
    EXPECT_NO_THROW((run_in(context, call_once<&take>(pool, "void", std::vector<char>(size)))))
        << size;
  }
}

void expect_200_kb_travel(asio::io_context& context, ResourcePool& pool) {
  const std::vector<char> bytes(200'000, 'y');
  EXPECT_EQ((run_in(context, call_once<&size_of>(pool, "b", bytes))), bytes.size());
  EXPECT_EQ(pool.status().spawns, 1u) << "by the same worker";
}

TEST(WorkerLease, a_large_reply_that_was_cut_back_harms_no_later_lease) {
  asio::io_context context;
  ResourceConfig config = small_config();
  config.max_workers = 1;
  ResourcePool pool(context.get_executor(), config);
  EXPECT_THROW(run_in(context, map_and_throw(pool)), std::runtime_error);
  expect_200_kb_travel(context, pool);
}

TEST(WorkerLease, a_result_beyond_message_max_harms_no_later_lease) {
  asio::io_context context;
  ResourceConfig config = small_config();
  config.max_workers = 1;
  config.message_max = 4_MiB;
  ResourcePool pool(context.get_executor(), config);
  EXPECT_THROW((run_in(context, call_once<&many_texts>(pool, "a", std::size_t{1000}))),
               codec::EncodeError);
  expect_200_kb_travel(context, pool);
}

}  // namespace
}  // namespace reeve::test
