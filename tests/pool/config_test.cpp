// Every fault of a configuration is a sentence with the value, the range and the remedy.
#include <reeve/pool/config.hpp>

#include <sys/resource.h>

#include <limits>

#include "tests/pool/pool_test_support.hpp"

namespace reeve::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

using Change = std::function<void(ResourceConfig&)>;

// The fault of small_config after `change`, or a text that no matcher wants.
std::string fault_after(const Change& change) {
  ResourceConfig config = small_config();
  change(config);
  return find_fault(config).value_or("no fault was found");
}

TEST(ResourceConfig, small_valid_configuration_has_no_fault) {
  EXPECT_EQ(find_fault(small_config()), std::nullopt);
}

TEST(ResourceConfig, a_default_configuration_asks_for_its_first_required_field) {
  EXPECT_THAT(find_fault(ResourceConfig()).value_or(""), HasSubstr("max_workers is 0"));
}

TEST(ResourceConfig, number_of_workers_is_1_to_4096) {
  for (const std::size_t bad : {std::size_t{0}, std::size_t{4097}, SIZE_MAX}) {
    EXPECT_THAT(fault_after([&](auto& c) { c.max_workers = bad; }),
                AllOf(HasSubstr("max_workers is " + std::to_string(bad)), HasSubstr("1 to 4096")));
  }
  EXPECT_THAT(
      fault_after([](auto& c) { c.min_workers = 3; }),
      AllOf(HasSubstr("min_workers is 3"), HasSubstr("max_workers = 2"), HasSubstr("lower it")));
}

TEST(ResourceConfig, somebody_must_be_allowed_to_wait) {
  EXPECT_THAT(fault_after([](auto& c) { c.waiter_count_max = 0; }),
              AllOf(HasSubstr("waiter_count_max is 0"), HasSubstr("1 or more")));
}

TEST(ResourceConfig, replacements_of_stuck_workers_have_slots) {
  for (const std::size_t bad : {std::size_t{4159}, SIZE_MAX}) {
    EXPECT_THAT(fault_after([&](auto& c) { c.quarantine_max = bad; }),
                AllOf(HasSubstr("quarantine_max is " + std::to_string(bad)),
                      HasSubstr("beside 2 workers it must be 0 to 4158")));
  }
  EXPECT_THAT(
      fault_after([](auto& c) { c.isolation = Isolation::thread, c.quarantine_max = 4158; }),
      HasSubstr("no fault"));
}

TEST(ResourceConfig, devices_are_named_and_known) {
  EXPECT_THAT(fault_after([](auto& c) { c.devices.clear(); }),
              AllOf(HasSubstr("devices is empty"), HasSubstr("\"cpu\"")));
  for (const char* const bad : {"gpu", "cuda:", "cuda:x", "cuda:1234", "", "CPU", "cuda:-1"}) {
    EXPECT_THAT(fault_after([&](auto& c) { c.devices = {"cpu", bad}; }),
                AllOf(HasSubstr("device '" + std::string(bad) + "'"), HasSubstr("\"cuda:N\"")));
  }
}

TEST(ResourceConfig, spinning_is_bounded) {
  for (const int bad : {-1, 1001}) {
    EXPECT_THAT(fault_after([&](auto& c) { c.spin_time = std::chrono::microseconds(bad); }),
                AllOf(HasSubstr("spin_time is " + std::to_string(bad)), HasSubstr("0 (off)")));
  }
}

// 25: a limit of zero, below zero, or so large that sums of it overflow.
TEST(ResourceConfig, times_are_in_range) {
  struct Row {
    const char* name;
    std::chrono::milliseconds ResourceConfig::* field;
    bool required;
  };
  const Row rows[] = {{"worker_timeout", &ResourceConfig::worker_timeout, true},
                      {"acquire_timeout", &ResourceConfig::acquire_timeout, true},
                      {"idle_timeout", &ResourceConfig::idle_timeout, false}};
  for (const Row& row : rows) {
    std::vector<std::chrono::milliseconds> bad{-1ms, std::chrono::milliseconds::min(),
                                               std::chrono::milliseconds::max(),
                                               std::chrono::hours(24 * 367)};
    if (row.required) bad.push_back(0ms);
    for (const auto value : bad) {
      EXPECT_THAT(
          fault_after([&](auto& c) { c.*row.field = value; }),
          AllOf(HasSubstr(std::string(row.name) + " is " + std::to_string(value.count()) + " ms"),
                HasSubstr(row.required ? "above zero" : "zero (off) or more"),
                HasSubstr("at most a year")));
    }
    EXPECT_EQ(fault_after([&](auto& c) { c.*row.field = std::chrono::hours(24 * 366); }),
              "no fault was found");
  }
  EXPECT_THAT(fault_after([](auto& c) { c.recycle.age_max = -5ms; }),
              AllOf(HasSubstr("recycle.age_max is -5 ms"), HasSubstr("zero (off) or more")));
}

// 39: a limit that an empty worker exceeds already.
TEST(ResourceConfig, memory_below_an_empty_worker_is_refused_with_a_better_value) {
  for (const ByteSize bad : {0_B, 1_B, 4_MiB}) {
    EXPECT_THAT(fault_after([&](auto& c) { c.worker_memory = bad; }),
                AllOf(HasSubstr("worker_memory is " + to_string(bad)), HasSubstr("takes up to"),
                      HasSubstr("give it more, for instance")));
  }
}

TEST(ResourceConfig, messages_are_64_kibibytes_to_1_tebibyte) {
  for (const ByteSize bad : {0_B, 63_KiB, 2_TiB}) {
    EXPECT_THAT(
        fault_after([&](auto& c) { c.message_max = bad; }),
        AllOf(HasSubstr("message_max is " + to_string(bad)), HasSubstr("from 64 KiB to 1 TiB")));
  }
}

TEST(ResourceConfig, process_attributes_are_in_range) {
  for (const int bad : {-1, 20}) {
    EXPECT_THAT(fault_after([&](auto& c) { c.nice = bad; }),
                AllOf(HasSubstr("nice is " + std::to_string(bad)), HasSubstr("0 to 19")));
  }
  EXPECT_THAT(fault_after([](auto& c) { c.file_mask = 01000; }),
              AllOf(HasSubstr("file_mask is 1000"), HasSubstr("0 to 0777")));
  for (const std::string& bad :
       {std::string(), std::string("A=B"), std::string(256, 'x'), std::string("a\0b", 3)}) {
    EXPECT_THAT(fault_after([&](auto& c) { c.environment.emplace_back(bad, "1"); }),
                AllOf(HasSubstr("environment variable '" + bad + "'"),
                      HasSubstr("1 to 255 bytes without '='")));
  }
  EXPECT_THAT(
      fault_after([](auto& c) { c.environment.emplace_back("NAME", std::string("a\0b", 3)); }),
      HasSubstr("environment variable 'NAME' cannot be set"));
}

// Sets one soft limit of this process for a moment.
class LoweredLimit {
 public:
  LoweredLimit(decltype(RLIMIT_NOFILE) which, rlim_t soft) : which_(which) {
    getrlimit(which_, &before_);
    rlimit lower = before_;
    lower.rlim_cur = soft;
    setrlimit(which_, &lower);
  }
  ~LoweredLimit() { setrlimit(which_, &before_); }

 private:
  decltype(RLIMIT_NOFILE) which_;
  rlimit before_{};
};

TEST(ResourceConfig, descriptors_and_processes_must_suffice) {
  {
    const LoweredLimit files(RLIMIT_NOFILE, 100);
    EXPECT_THAT(fault_after([](auto& c) { c.max_workers = 100; }),
                AllOf(HasSubstr("100 workers need 268 file descriptors"),
                      HasSubstr("RLIMIT_NOFILE is 100"), HasSubstr("ulimit -n")));
    EXPECT_EQ(fault_after([](auto& c) {
                c.max_workers = 100;
                c.isolation = Isolation::thread;
              }),
              "no fault was found");
  }
  const LoweredLimit processes(RLIMIT_NPROC, 20);
  EXPECT_THAT(
      fault_after([](auto& c) { c.max_workers = 100; }),
      AllOf(HasSubstr("100 workers"), HasSubstr("RLIMIT_NPROC = 20"), HasSubstr("ulimit -u")));
}

TEST(ResourceConfig, a_hard_descriptor_limit_of_the_warden_is_named) {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  if (files.rlim_max > 576 + 5 * 4098) {
    GTEST_SKIP() << "the hard RLIMIT_NOFILE suffices for the largest pool";
  }
  EXPECT_THAT(fault_after([](auto& c) { c.max_workers = 4096; }),
              AllOf(HasSubstr("4096 workers need"), HasSubstr("raise the hard limit")));
}

TEST(ResourceConfig, the_pool_throws_the_fault_as_it_is) {
  asio::io_context context;
  ResourceConfig config = small_config();
  config.nice = 77;
  try {
    ResourcePool pool(context.get_executor(), config);
    FAIL() << "nothing was thrown";
  } catch (const ConfigError& error) {
    EXPECT_EQ(std::string(error.what()), find_fault(config).value());
  }
}

void take_bytes(const std::vector<char>&) {}

TEST(ResourceConfig, arguments_of_the_initializer_must_fit_a_message) {
  const auto fault = [](std::size_t size, Isolation isolation) {
    return fault_after([&](auto& c) {
      c.message_max = 64_KiB;
      c.isolation = isolation;
      c.initializer = Initializer::make<&take_bytes>(std::vector<char>(size));
    });
  };
  EXPECT_THAT(fault(200'000, Isolation::process),
              AllOf(HasSubstr("initializer"), HasSubstr("195.3 KiB"),
                    HasSubstr("message_max is 64 KiB"), HasSubstr("raise")));
  EXPECT_EQ(fault(200'000, Isolation::thread), "no fault was found") << "nothing travels";
  EXPECT_EQ(fault((64 << 10) - 8, Isolation::process), "no fault was found");  // 8: the length
  EXPECT_THAT(fault((64 << 10) - 7, Isolation::process), HasSubstr("initializer"));
  asio::io_context context;
  ResourceConfig config = small_config();
  config.message_max = 64_KiB;
  config.initializer = Initializer::make<&take_bytes>(std::vector<char>(200'000));
  EXPECT_THROW(ResourcePool(context.get_executor(), config), ConfigError);
}

}  // namespace
}  // namespace reeve::test
