// Tasks that want too much memory: integration tests with a real kernel, bounds generous.
#include <reeve/pool/errors.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <set>

#include "tests/pool/pool_test_support.hpp"

namespace reeve::test {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;

constexpr std::size_t mebibyte = 1 << 20;

// Pages that are really there, and stay.
void* touch(void* memory, std::size_t bytes) {
  for (std::size_t at = 0; at < bytes; at += 4096) static_cast<volatile char*>(memory)[at] = 1;
  return memory;
}
void* map_pages(std::size_t bytes, int flags) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) _exit(77);
  return memory;
}

std::size_t grow_slowly(std::size_t mebibytes) {
  std::vector<std::vector<char>> blocks;
  for (std::size_t i = 0; i < mebibytes; ++i) blocks.emplace_back(mebibyte, 'x');
  return blocks.size();
}
std::size_t one_burst(std::size_t mebibytes) {
  const std::vector<char> block(mebibytes * mebibyte, 'x');
  asm volatile("" : : "r"(block.data()) : "memory");  // clang leaves out unused memory
  return block.size();
}
std::size_t malloc_and_write(std::size_t mebibytes) {
  void* memory = std::malloc(mebibytes * mebibyte);
  std::memset(memory, 1, mebibytes * mebibyte);  // null when it was refused
  const bool set = *static_cast<volatile char*>(memory) == 1;
  std::free(memory);
  return set ? mebibytes : 0;
}
// The deaths of the threads must not be deaths of the process: bad_alloc is theirs.
std::size_t grow_in_threads(int count) {
  std::atomic<std::size_t> refused = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < count; ++i) {
      threads.emplace_back([&] {
        try {
          grow_slowly(100);
        } catch (const std::bad_alloc&) {
          ++refused;
        }
      });
    }
  }
  if (refused > 0) throw std::bad_alloc();
  return refused;
}
void grow_shared(std::size_t mebibytes) {
  touch(map_pages(mebibytes * mebibyte, MAP_SHARED), mebibytes * mebibyte);
  for (;;) pause();
}
void grow_in_a_mapped_file(std::size_t mebibytes) {
  const int file = memfd_create("growing", 0);
  if (ftruncate(file, static_cast<off_t>(mebibytes * mebibyte)) != 0) _exit(77);
  touch(mmap(nullptr, mebibytes * mebibyte, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0),
        mebibytes * mebibyte);
  for (;;) pause();
}
// Each process stays below its own RLIMIT_DATA; the tree does not stay below the limit.
void grow_in_grandchildren(std::size_t mebibytes) {
  for (int child = 0; child < 2; ++child) {
    if (fork() != 0) continue;
    if (fork() == 0) touch(map_pages(mebibytes * mebibyte, MAP_PRIVATE), mebibytes * mebibyte);
    for (;;) pause();
  }
  for (;;) pause();
}
// The worker keeps to its limit, so does the child; both together do not.
void grow_with_a_child(std::size_t mebibytes, bool in_a_thread, bool shared) {
  const int flags = shared ? MAP_SHARED : MAP_PRIVATE;
  const auto body = [=] {
    if (fork() == 0) {
      touch(map_pages(mebibytes * mebibyte, flags), mebibytes * mebibyte);
      for (;;) pause();
    }
    if (!shared) touch(map_pages(mebibytes * mebibyte, flags), mebibytes * mebibyte);
    for (;;) pause();
  };
  if (in_a_thread) {
    std::thread(body).join();
  } else {
    body();
  }
}
void grow_with_huge_pages(std::size_t mebibytes, bool huge) {
  prctl(PR_SET_THP_DISABLE, huge ? 0 : 1, 0, 0, 0);
  void* memory = map_pages(mebibytes * mebibyte, MAP_PRIVATE);
  madvise(memory, mebibytes * mebibyte, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  touch(memory, mebibytes * mebibyte);
  for (;;) pause();
}

class Memory : public testing::Test {
 protected:
  asio::io_context context;
  ResourceConfig config = small_config();
  std::optional<ResourcePool> made;

  ResourcePool& pool() {
    if (!made) made.emplace(context.get_executor(), config);
    return *made;
  }
  template <auto Fn, class... Args>
  Evidence over_limit(const char* mechanism, Args... args) {
    const auto error = error_of<WorkerMemoryError>(context, call_once<Fn>(pool(), "fat", args...));
    if (!error) return {};
    // 43: limit, what was seen, the highest, the mechanism and a remedy.
    const Evidence& evidence = error->evidence();
    EXPECT_EQ(evidence.memory_limit, config.worker_memory);
    EXPECT_GE(evidence.memory_peak, evidence.memory_observed);
    EXPECT_EQ(evidence.mechanism, mechanism);
    EXPECT_THAT(error->what(), AllOf(HasSubstr("'fat'"), HasSubstr("its 256 MiB of memory"),
                                     HasSubstr(to_string(evidence.memory_observed) + " observed"),
                                     HasSubstr(to_string(evidence.memory_peak) + " at most"),
                                     HasSubstr(mechanism), HasSubstr("raise worker_memory")));
    return evidence;
  }
};

class HardMemory : public Memory {
 protected:
  void SetUp() override { REEVE_SKIP_UNDER_SANITIZERS(); }
};

int process_id() {
  return getpid();
}

// 31: refused where it is asked for; the worker itself is replaced.
TEST_F(HardMemory, gradual_growth_is_refused) {
  const int before = run_in(context, call_once<&process_id>(pool(), "who"));
  over_limit<&grow_slowly>("rlimit_data", std::size_t{1000});
  const int after = run_in(context, call_once<&process_id>(pool(), "who"));
  EXPECT_NE(before, after) << "a worker whose memory was refused is used again";
  expect_pool_works(context, pool());
}
// 32
TEST_F(HardMemory, a_burst_of_ten_times_the_limit_is_refused) {
  over_limit<&one_burst>("rlimit_data", std::size_t{2560});
  expect_pool_works(context, pool());
}
// 32: malloc returns null, the task writes there, and the crash is explained if it can be.
TEST_F(HardMemory, a_crash_on_refused_malloc_ends_its_lease_only) {
  EXPECT_THROW(run_in(context, call_once<&malloc_and_write>(pool(), "fat", std::size_t{2560})),
               WorkerError);
  EXPECT_EQ((run_in(context, call_once<&malloc_and_write>(pool(), "thin", std::size_t{10}))), 10u);
}
// 33: the threads share one budget.
TEST_F(HardMemory, growth_in_many_threads_is_refused) {
  over_limit<&grow_in_threads>("rlimit_data", 8);
  expect_pool_works(context, pool());
}

// 31, 44: without RLIMIT_DATA the watch ends it; the overshoot stays small.
TEST_F(Memory, watched_growth_is_ended_close_to_the_limit) {
  config.hard_memory = false;
  run_in(context, pool().warm_up(2));
  for (const bool huge : {false, true}) {
    std::vector<std::uint64_t> over;
    for (int i = 0; i < 5; ++i) {
      const Evidence evidence =
          over_limit<&grow_with_huge_pages>("resident memory", std::size_t{1500}, huge);
      EXPECT_GT(evidence.memory_observed, config.worker_memory);
      over.push_back(evidence.memory_peak.bytes() - config.worker_memory.bytes());
    }
    EXPECT_LT(median(over), 128 * mebibyte) << "huge pages: " << huge;
  }
  expect_pool_works(context, pool());
}
// 34: shared memory is in no RLIMIT_DATA.
TEST_F(Memory, shared_memory_counts) {
  over_limit<&grow_shared>("resident memory", std::size_t{600});
  expect_pool_works(context, pool());
}
// 34
TEST_F(Memory, a_mapped_memory_file_counts) {
  over_limit<&grow_in_a_mapped_file>("resident memory", std::size_t{600});
  expect_pool_works(context, pool());
}
// 34: a file that is written and not mapped is in nobody's resident memory. Nothing guards it, and
// `capabilities` does not claim otherwise.
TEST_F(Memory, an_unmapped_file_is_not_claimed_to_be_guarded) {
  EXPECT_FALSE(pool().capabilities().has("cgroup_memory"));
}
// 35
TEST_F(Memory, grandchildren_count) {
  const Evidence evidence = over_limit<&grow_in_grandchildren>("resident memory", std::size_t{160});
  EXPECT_EQ(evidence.descendants_killed, 4u);
  EXPECT_TRUE(evidence.tree_complete);
  expect_pool_works(context, pool());
}
// 35: also what a thread of the worker has forked, and what a child maps shared.
TEST_F(Memory, a_child_counts_whoever_forked_it_and_whatever_it_maps) {
  REEVE_SKIP_WITH_SHADOW_MEMORY();
  for (const bool in_a_thread : {false, true}) {
    SCOPED_TRACE(in_a_thread ? "forked by a thread" : "forked by the main thread");
    for (const bool shared : {false, true}) {
      const std::size_t each = shared ? 600 : 160;
      const Evidence evidence =
          over_limit<&grow_with_a_child>("resident memory", each, in_a_thread, shared);
      EXPECT_EQ(evidence.descendants_killed, 1u);
      EXPECT_GT(evidence.memory_observed, config.worker_memory);
    }
  }
  expect_pool_works(context, pool());
}
// 35: pages that children share with the worker count once, until they are written.
int have_children_that_share(std::size_t mebibytes, bool until_written) {
  void* memory = touch(map_pages(mebibytes * mebibyte, MAP_PRIVATE), mebibytes * mebibyte);
  for (int child = 0; child < 2; ++child) {
    if (fork() != 0) continue;
    usleep(300'000);
    if (!until_written) _exit(0);
    touch(memory, mebibytes * mebibyte);
    for (;;) pause();
  }
  int ended = 0;
  while (wait(nullptr) > 0) ++ended;
  return ended;
}
TEST_F(Memory, what_children_share_counts_when_they_write_it) {
  REEVE_SKIP_WITH_SHADOW_MEMORY();
  EXPECT_EQ((run_in(context, call_once<&have_children_that_share>(pool(), "thrifty",
                                                                  std::size_t{140}, false))),
            2);
  const Evidence evidence =
      over_limit<&have_children_that_share>("resident memory", std::size_t{140}, true);
  EXPECT_EQ(evidence.descendants_killed, 2u);
  expect_pool_works(context, pool());
}

// 36: just below the limit for some time; 37: a spike that is given back in time.
std::size_t stay_below(std::size_t mebibytes, int time_us) {
  void* memory = touch(map_pages(mebibytes * mebibyte, MAP_PRIVATE), mebibytes * mebibyte);
  usleep(static_cast<useconds_t>(time_us));
  munmap(memory, mebibytes * mebibyte);
  return mebibytes;
}
std::size_t spikes(int count) {
  std::size_t sum = 0;
  for (int i = 0; i < count; ++i) sum += stay_below(200, 1000);
  return sum;
}

TEST_F(Memory, memory_just_below_the_limit_is_left_alone) {
  REEVE_SKIP_WITH_SHADOW_MEMORY();
  EXPECT_EQ((run_in(context, call_once<&stay_below>(pool(), "near", std::size_t{235}, 300'000))),
            235u);
  EXPECT_EQ((run_in(context, call_once<&spikes>(pool(), "spikes", 10))), 2000u);
  EXPECT_EQ(pool().status().deaths.memory, 0u);
}

// 38: what leases leave in the worker adds up to a fresh worker, before it fails an innocent.
std::size_t leak(std::size_t mebibytes) {
  touch(map_pages(mebibytes * mebibyte, MAP_PRIVATE), mebibytes * mebibyte);
  return static_cast<std::size_t>(getpid());
}

TEST_F(Memory, a_worker_that_leaks_across_leases_is_replaced) {
  REEVE_SKIP_WITH_SHADOW_MEMORY();
  config.max_workers = 1;
  std::set<std::size_t> workers;
  for (int i = 0; i < 20; ++i) {
    workers.insert(run_in(context, call_once<&leak>(pool(), "leak", std::size_t{50})));
  }
  EXPECT_GE(workers.size(), 4u);
  EXPECT_LE(workers.size(), 10u) << "a worker is replaced only when it has grown";
  EXPECT_EQ(pool().status().deaths.memory, 0u);
  EXPECT_GE(pool().status().deaths.recycled, workers.size() - 1);
}

TEST_F(Memory, growth_max_decides_when_a_worker_is_replaced) {
  config.max_workers = 1;
  config.recycle.growth_max = 10_MiB;
  const auto first = run_in(context, call_once<&leak>(pool(), "leak", std::size_t{20}));
  const auto second = run_in(context, call_once<&leak>(pool(), "leak", std::size_t{20}));
  EXPECT_NE(first, second);
}

// 40: a refusal that the task itself overcomes is its own business; the worker is replaced.
int overcome() {
  try {
    grow_slowly(1000);
  } catch (const std::bad_alloc&) {
    return getpid();
  }
  return 0;
}

TEST_F(HardMemory, a_caught_bad_alloc_is_no_error) {
  const int first = run_in(context, call_once<&overcome>(pool(), "strong"));
  EXPECT_GT(first, 0);
  EXPECT_NE(run_in(context, call_once<&process_id>(pool(), "who")), first);
  EXPECT_EQ(pool().status().deaths.memory, 0u);
}

// 41: not even the reserve is left to describe the error.
void use_up_everything() {
  static std::vector<void*> blocks;
  blocks.reserve(1 << 20);
  for (std::size_t size = 8 * mebibyte; size >= 64; size /= 2) {
    try {
      for (;;) blocks.push_back(::operator new(size));
    } catch (const std::bad_alloc&) {
    }
  }
  throw std::runtime_error(std::string(1000, 'x'));
}

TEST_F(HardMemory, an_error_that_cannot_be_built_is_still_a_memory_error) {
  const auto error =
      error_of<WorkerMemoryError>(context, call_once<&use_up_everything>(pool(), "fat"));
  ASSERT_TRUE(error);
  expect_pool_works(context, pool());
}

// 42: two at once; each has its own cause.
void spin() {
  volatile std::uint64_t turns = 0;
  for (;;) turns = turns + 1;
}

asio::awaitable<void> end_of(ResourcePool& pool, bool by_memory, std::string& cause) {
  auto worker = co_await pool.acquire_worker(by_memory ? "fat" : "long");
  try {
    if (by_memory) {
      co_await worker.run<&grow_shared>(std::size_t{600});
    } else {
      co_await worker.run<&spin>(RunLimits(60ms));
    }
  } catch (const WorkerMemoryError& error) {
    cause = "memory of " + std::string(error.task());
  } catch (const WorkerTimeoutError& error) {
    cause = "time of " + std::string(error.task());
  }
}

TEST_F(Memory, two_limits_at_once_each_name_their_own_cause) {
  run_in(context, pool().warm_up(2));
  for (int i = 0; i < 5; ++i) {
    std::string first, second;
    int ends = 0;
    const auto count = [&](std::exception_ptr) { ++ends; };
    asio::co_spawn(context, end_of(pool(), true, first), count);
    asio::co_spawn(context, end_of(pool(), false, second), count);
    ASSERT_TRUE(run_until(context, [&] { return ends == 2; }));
    EXPECT_EQ(first, "memory of fat");
    EXPECT_EQ(second, "time of long");
  }
}

// A call's own limit is below the lease's, never above it.
asio::awaitable<std::size_t> grow_within(ResourcePool& pool, std::optional<ByteSize> memory,
                                         std::size_t wish) {
  auto worker = co_await pool.acquire_worker("fat");
  RunLimits limits;
  limits.memory = memory;
  co_return co_await worker.run<&one_burst>(limits, wish);
}

TEST_F(HardMemory, a_call_may_have_less_memory_and_not_more) {
  EXPECT_EQ(run_in(context, grow_within(pool(), 128_MiB, 50)), 50 * mebibyte);
  const auto error = error_of<WorkerMemoryError>(context, grow_within(pool(), 128_MiB, 150));
  ASSERT_TRUE(error);
  EXPECT_EQ(error->evidence().memory_limit, 128_MiB);
  EXPECT_EQ(run_in(context, grow_within(pool(), {}, 150)), 150 * mebibyte);
  EXPECT_TRUE(error_of<WorkerMemoryError>(context, grow_within(pool(), 10_GiB, 260)));
}

}  // namespace
}  // namespace reeve::test
