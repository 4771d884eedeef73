// What is refused, and how it is said: the value, the range, the remedy, and nothing is lost.
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "tests/pool/pool_test_support.hpp"

namespace reeve::test {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

template <class E, class F>
std::string text_of(F&& f) {
  try {
    f();
  } catch (const E& error) {
    return error.what();
  } catch (const std::exception& error) {
    return std::string("another exception: ") + error.what();
  }
  return "nothing was thrown";
}

class PoolBadInput : public testing::Test {
 protected:
  asio::io_context context;
  ResourceConfig config = small_config();
  std::optional<ResourcePool> made;

  ResourcePool& pool() {
    if (!made) made.emplace(context.get_executor(), config);
    return *made;
  }
};

// ------------------------------------------------------------------------------------------------
// Ids, devices and times of an acquire

TEST_F(PoolBadInput, empty_task_ids_are_refused_at_once) {
  const std::string said = "a task id has 1 to 127 bytes; '' has 0";
  const auto body = [](WorkerLease&) -> asio::awaitable<void> { co_return; };
  EXPECT_EQ(text_of<ConfigError>([&] { (void)pool().acquire_worker(""); }), said);
  EXPECT_EQ(text_of<ConfigError>([&] { (void)pool().try_acquire(""); }), said);
  EXPECT_EQ(text_of<ConfigError>([&] { (void)with_worker(pool(), "", body); }), said);
  const std::vector<int> items{1};
  const auto itself = [](int x) { return x; };
  EXPECT_EQ(text_of<ConfigError>([&] { (void)parallel_map(pool(), "", itself, items); }), said);
  EXPECT_EQ(pool().status().spawns, 0u) << "nothing was started for it";
}

TEST_F(PoolBadInput, task_ids_that_are_too_long_are_cut_in_the_text_only) {
  EXPECT_EQ(text_of<ConfigError>([&] { (void)pool().try_acquire(std::string(128, 'x')); }),
            "a task id has 1 to 127 bytes; '" + std::string(40, 'x') + "' has 128");
  EXPECT_EQ(text_of<ConfigError>([&] { (void)pool().try_acquire(std::string(127, 'x')); }),
            "nothing was thrown");
}

static_assert(std::is_trivially_copyable_v<AcquireOptions>, "g++ 12 copies it beside co_await");

TEST_F(PoolBadInput, a_device_is_kept_by_value) {
  config.devices = {"cpu", "cuda:11"};
  AcquireOptions options;
  EXPECT_TRUE(options.device.any());
  for (int slot = 10; slot < 12; ++slot) {
    options.device = "cuda:" + std::to_string(slot);  // what it was made from is gone
  }
  EXPECT_STREQ(options.device, "cuda:11");
  auto lease =
      run_in(context, [](ResourcePool& p, AcquireOptions o) -> asio::awaitable<std::string> {
        o.device = std::string(o.device);
        auto worker = co_await p.acquire_worker("placed", o);
        co_return std::string(worker.device());
      }(pool(), options));
  EXPECT_EQ(lease, "cuda:11");
  options.device = static_cast<const char*>(nullptr);
  EXPECT_TRUE(options.device.any());
  options.device = std::string_view("cuda:11").substr(0, 4);
  EXPECT_STREQ(options.device, "cuda");
}

TEST_F(PoolBadInput, device_names_have_1_to_15_bytes) {
  for (const std::string& bad : {std::string(), std::string(16, 'c'), std::string("cu\0da", 5)}) {
    EXPECT_THAT(text_of<ConfigError>([&] { (void)DeviceName(bad); }),
                AllOf(HasSubstr("has " + std::to_string(bad.size()) + " bytes"),
                      HasSubstr("1 to 15"), HasSubstr("leave it out")));
  }
}

TEST_F(PoolBadInput, negative_times_of_an_acquire_are_refused_at_once) {
  AcquireOptions options;
  options.timeout = -5ms;
  EXPECT_THAT(text_of<ConfigError>([&] { (void)pool().acquire_worker("x", options); }),
              AllOf(HasSubstr("AcquireOptions::timeout is -5 ms"), HasSubstr("1 ms or more"),
                    HasSubstr("leave it out")));
  options.timeout = 0ms;
  options.time_limit = milliseconds::min();
  EXPECT_THAT(text_of<ConfigError>([&] { (void)pool().try_acquire("x", options); }),
              AllOf(HasSubstr("AcquireOptions::time_limit is -"), HasSubstr("worker_timeout")));
}

// ------------------------------------------------------------------------------------------------
// Limits of a call

TEST_F(PoolBadInput, limits_of_a_call_that_are_zero_or_less_are_refused_and_the_lease_goes_on) {
  const auto lease = run_in(context, hold(pool(), "limited"));
  const auto refused = [&](const RunLimits& limits) {
    return text_of<ConfigError>([&] { (void)lease->run<&add>(limits, 1, 2); });
  };
  for (const milliseconds bad : {0ms, -5ms, milliseconds::min()}) {
    RunLimits limits;
    limits.timeout = bad;
    EXPECT_THAT(refused(limits),
                AllOf(HasSubstr("RunLimits::timeout is " + std::to_string(bad.count()) + " ms"),
                      HasSubstr("1 ms or more"), HasSubstr("leave it out")));
    limits.timeout.reset();
    limits.soft_timeout = bad;
    EXPECT_THAT(refused(limits),
                AllOf(HasSubstr("RunLimits::soft_timeout is " + std::to_string(bad.count())),
                      HasSubstr("1 ms or more"), HasSubstr("leave it out")));
  }
  RunLimits limits;
  limits.memory = 0_B;
  EXPECT_EQ(refused(limits), find_fault(limits));
  EXPECT_THAT(refused(limits), AllOf(HasSubstr("RunLimits::memory is 0 B"), HasSubstr("1 B"),
                                     HasSubstr("worker_memory")));
  limits.memory = 1_KiB;
  EXPECT_THAT(refused(limits), AllOf(HasSubstr("RunLimits::memory is 1 KiB"),
                                     HasSubstr("an empty worker of this program takes up to")));
  limits.memory.reset();
  EXPECT_EQ(find_fault(limits), std::nullopt) << "left out: as the lease";
  EXPECT_EQ(run_in(context, lease->run<&add>(limits, 1, 2)), 3) << "no call was begun";
}

// ------------------------------------------------------------------------------------------------
// Messages beyond message_max

std::size_t size_of_text(const std::string& text) {
  return text.size();
}
std::string make_text(std::size_t size) {
  return std::string(size, 'x');
}

class PoolMessages : public PoolBadInput {
 protected:
  void SetUp() override {
    config.max_workers = 1;
    config.message_max = 128_KiB;
  }
};

TEST_F(PoolMessages, oversized_arguments_are_refused_at_once_with_size_and_limit) {
  const auto lease = run_in(context, hold(pool(), "large"));
  const std::string text(200'000, 'x');
  EXPECT_THAT(text_of<codec::EncodeError>([&] { (void)lease->run<&size_of_text>(text); }),
              AllOf(HasSubstr("the arguments take " + to_string(ByteSize{200'008})),
                    HasSubstr("128 KiB (ResourceConfig::message_max)"), HasSubstr("raise"),
                    HasSubstr("send less")));
  EXPECT_EQ(run_in(context, lease->run<&size_of_text>(std::string(100'000, 'x'))), 100'000u);
}

TEST_F(PoolMessages, an_oversized_result_is_an_encode_error_with_size_and_limit) {
  for (int round = 0; round < 2; ++round) {
    const auto error = error_of<codec::EncodeError>(
        context, call_once<&make_text>(pool(), "large", std::size_t{200'000}));
    ASSERT_TRUE(error);
    EXPECT_THAT(error->what(),
                AllOf(HasSubstr("'large'"), HasSubstr("its result cannot travel"),
                      HasSubstr("take " + to_string(ByteSize{200'008}) + " or more"),
                      HasSubstr("128 KiB (ResourceConfig::message_max)"), HasSubstr("raise")));
  }
  EXPECT_EQ(run_in(context, call_once<&make_text>(pool(), "fits", std::size_t{100'000})).size(),
            100'000u);
  EXPECT_EQ(pool().status().spawns, 1u) << "the worker is as good as before";
}

TEST_F(PoolMessages, arguments_and_result_share_the_message) {
  const auto twice = [](const std::string& text) { return text + text; };
  const auto lease = run_in(context, hold(pool(), "twice"));
  const std::string text(60'000, 'x');
  const auto error = error_of<codec::EncodeError>(context, lease->run(twice, text));
  ASSERT_TRUE(error);
  EXPECT_THAT(error->what(), AllOf(HasSubstr("behind " + to_string(ByteSize{60'032})),
                                   HasSubstr("128 KiB (ResourceConfig::message_max)")));
}

TEST_F(PoolMessages, an_oversized_result_of_a_map_is_an_encode_error_too) {
  const auto lease = run_in(context, hold(pool(), "map"));
  const std::vector<std::size_t> sizes{10, 200'000};
  const auto error = error_of<codec::EncodeError>(context, lease->map(&make_text, sizes));
  ASSERT_TRUE(error);
  EXPECT_THAT(error->what(), HasSubstr("128 KiB (ResourceConfig::message_max)"));
}

// ------------------------------------------------------------------------------------------------
// Crashes at null

#if defined(__clang__)
[[clang::no_sanitize("undefined", "address")]]
#endif
void write_at(std::uint64_t address) {
  *reinterpret_cast<volatile int*>(address) = 1;
}
void raise_it(int number) {
  raise(number);
}
std::size_t write_to_refused(std::size_t bytes) {
  auto* const memory = static_cast<volatile char*>(std::malloc(bytes));
  memory[8] = 1;
  std::free(const_cast<char*>(memory));
  return bytes;
}
bool take_no_for_an_answer(std::size_t bytes) {
  void* volatile const memory = std::malloc(bytes);  // which clang may not leave out
  std::free(memory);
  return memory == nullptr;
}

std::string crash_text(asio::io_context& context, asio::awaitable<void> work) {
  const auto error = error_of<WorkerCrashedError>(context, std::move(work));
  return error ? error->what() : "";
}

TEST_F(PoolBadInput, a_crash_next_to_null_says_that_malloc_may_have_been_refused) {
  const std::string at_null = crash_text(context, call_once<&write_at>(pool(), "null", 16u));
  EXPECT_THAT(at_null, AllOf(HasSubstr("SIGSEGV"), HasSubstr("a null pointer was used")));
  if (!sanitized) {
    EXPECT_THAT(at_null, AllOf(HasSubstr("malloc may have been refused: "),
                               HasSubstr(" of 256 MiB were in use")));
  }
  EXPECT_THAT(crash_text(context, call_once<&write_at>(pool(), "far", 0x12340u)),
              Not(HasSubstr("null pointer")));
  EXPECT_THAT(crash_text(context, call_once<&raise_it>(pool(), "sent", SIGSEGV)),
              Not(HasSubstr("null pointer")));
}

// 32: most of the memory is free, and the worker dies at null all the same.
TEST_F(PoolBadInput, a_null_pointer_of_a_refused_malloc_is_a_memory_error) {
  REEVE_SKIP_UNDER_SANITIZERS();
  const auto error = error_of<WorkerMemoryError>(
      context, call_once<&write_to_refused>(pool(), "fat", (1_GiB).bytes()));
  ASSERT_TRUE(error);
  EXPECT_THAT(error->what(),
              AllOf(HasSubstr("its 256 MiB of memory"), HasSubstr("when it was refused more"),
                    HasSubstr("malloc was refused, and the null pointer that it returned was used"),
                    HasSubstr("raise worker_memory")));
  EXPECT_EQ(error->evidence().mechanism, "rlimit_data");
  EXPECT_LT(error->evidence().memory_observed, 128_MiB);
  EXPECT_EQ(error->evidence().signal, SIGSEGV);
}

asio::awaitable<void> refused_then_null(ResourcePool& pool) {
  auto worker = co_await pool.acquire_worker("calls");
  EXPECT_TRUE(co_await worker.run<&take_no_for_an_answer>((1_GiB).bytes()));
  co_await worker.run<&write_at>(std::uint64_t{16});
}

TEST_F(PoolBadInput, a_refusal_of_an_earlier_call_does_not_explain_a_crash) {
  REEVE_SKIP_UNDER_SANITIZERS();
  EXPECT_THAT(crash_text(context, refused_then_null(pool())), HasSubstr("may have been refused"));
}

// ------------------------------------------------------------------------------------------------
// Configurations

std::string fault_after(const std::function<void(ResourceConfig&)>& change) {
  ResourceConfig config = small_config();
  change(config);
  return find_fault(config).value_or("no fault was found");
}

TEST_F(PoolBadInput, a_negative_number_of_workers_is_shown_as_it_was_meant) {
  EXPECT_EQ(fault_after([](auto& c) { c.max_workers = static_cast<std::size_t>(-1); }),
            "max_workers is 18446744073709551615 (-1 as a signed number); a pool has 1 to 4096 "
            "workers, so lower it");
  EXPECT_THAT(fault_after([](auto& c) { c.min_workers = static_cast<std::size_t>(-2); }),
              HasSubstr("(-2 as a signed number)"));
}

TEST_F(PoolBadInput, a_working_directory_that_cannot_be_entered_is_a_fault) {
  EXPECT_THAT(fault_after([](auto& c) { c.working_directory = "/no/such/directory"; }),
              AllOf(HasSubstr("working_directory '/no/such/directory'"), HasSubstr("No such file"),
                    HasSubstr("make it first")));
  EXPECT_THAT(fault_after([](auto& c) { c.working_directory = "/proc/self/status"; }),
              HasSubstr("it is no directory"));
  EXPECT_THAT(fault_after([](auto& c) { c.working_directory = std::string("/tmp\0/x", 7); }),
              AllOf(HasSubstr("'/tmp' has a null byte at 4"), HasSubstr("without it")));
  EXPECT_EQ(fault_after([](auto& c) { c.working_directory = "/tmp"; }), "no fault was found");
}

}  // namespace
}  // namespace reeve::test
