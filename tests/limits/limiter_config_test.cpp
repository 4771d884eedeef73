// The limiter's environment variables and the faults of its configuration.
#include <reeve/limits/limiter_config.hpp>

#include <stdlib.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <reeve/base/error.hpp>

#include "tests/support/environment.hpp"
#include "tests/support/pch.hpp"

namespace reeve::limits {
namespace {

TEST(LimiterConfig, EveryVariableIsReadStrictlyAndNamedInItsError) {
  const std::vector<const char*> no_percent{"0",   "0.99", "100.1", "-1",  "nan", "inf",
                                            "80%", "",     " 80",   "80 ", "abc", "0x50"};
  const std::vector<test::Variable> variables{
      {"MAX_CPU_PERCENT", {"1", "90.5", "100"}, no_percent},
      {"MAX_MEMORY_PERCENT", {"1", "1e1", "100"}, no_percent},
      {"MAX_GPU_PERCENT", {"1", "33", "100"}, no_percent},
      {"MAX_CONCURRENT_TASKS", {"1", "100000"}, {"0", "-5", "100001", "1.5", "", "many", "2 "}},
      {"RESOURCE_CHECK_INTERVAL", {"0.01", "3600"}, {"0", "0.009", "3600.1", "nan", "", "1s"}},
  };
  test::expect_read_strictly(variables, [] { LimiterConfig::from_environment(); });
}

TEST(LimiterConfig, HasTheDefaultsOfThePageAndReadsWhatIsSet) {
  const auto d = LimiterConfig::from_environment();
  EXPECT_EQ(d.limits, Limits{});
  EXPECT_EQ(d.limits.max_cpu_percent, 80);
  EXPECT_EQ(d.limits.max_concurrent_tasks, 5);
  EXPECT_EQ(d.check_interval, std::chrono::seconds{1});
  ::setenv("MAX_GPU_PERCENT", "12.5", 1);
  ::setenv("MAX_CONCURRENT_TASKS", "7", 1);
  ::setenv("RESOURCE_CHECK_INTERVAL", "0.25", 1);
  const auto c = LimiterConfig::from_environment();
  EXPECT_EQ(c.limits.max_gpu_percent, 12.5);
  EXPECT_EQ(c.limits.max_concurrent_tasks, 7);
  EXPECT_EQ(c.check_interval, std::chrono::milliseconds{250});
  for (const char* name : {"MAX_GPU_PERCENT", "MAX_CONCURRENT_TASKS", "RESOURCE_CHECK_INTERVAL"})
    ::unsetenv(name);
}

TEST(LimiterConfig, NamesTheFirstFault) {
  const auto fault = [](auto change) {
    LimiterConfig config;
    change(config);
    return find_fault(config).value_or("");
  };
  EXPECT_EQ(fault([](LimiterConfig&) {}), "");
  for (const double bad : {0.0, 100.5, -1.0, std::nan(""), HUGE_VAL}) {
    EXPECT_THAT(fault([=](auto& c) { c.limits.max_cpu_percent = bad; }),
                ::testing::HasSubstr("max_cpu_percent is "));
    EXPECT_THAT(fault([=](auto& c) { c.limits.max_memory_percent = bad; }),
                ::testing::HasSubstr("max_memory_percent is "));
    EXPECT_THAT(fault([=](auto& c) { c.limits.max_gpu_percent = bad; }),
                ::testing::HasSubstr("max_gpu_percent is "));
  }
  EXPECT_THAT(fault([](auto& c) { c.limits.max_concurrent_tasks = 0; }),
              ::testing::HasSubstr("max_concurrent_tasks is 0; it must be 1 to 100000"));
  EXPECT_THAT(fault([](auto& c) { c.check_interval = std::chrono::milliseconds{9}; }),
              ::testing::HasSubstr("check_interval is 9 ms"));
  EXPECT_THAT(fault([](auto& c) { c.settle_time = std::chrono::milliseconds{-1}; }),
              ::testing::HasSubstr("settle_time is -1 ms; it must be 0 or more"));
  EXPECT_THAT(fault([](auto& c) { c.clock = nullptr; }), ::testing::HasSubstr("clock is null"));
}

TEST(SystemProbe, SeesThisMachine) {
  const auto probe = make_system_probe();
  const auto sample = probe->sample();
  EXPECT_GT(sample.memory_total, 64_MiB);
  EXPECT_GT(sample.memory_percent, 0);
  EXPECT_LE(sample.memory_percent, 100);
  EXPECT_GE(probe->sample().cpu_percent, 0);
}

/// A machine of files: 100 GiB of memory, 30 of them used, and whatever groups a test makes.
class FakeMachine : public ::testing::Test {
 protected:
  FakeMachine() {
    std::string pattern = (std::filesystem::temp_directory_path() / "reeve-probe-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp");
    root_ = pattern;
    write("proc/meminfo", "MemTotal: 104857600 kB\nMemFree: 1 kB\nMemAvailable: 73400320 kB\n");
    write("proc/stat", "cpu 100 0 100 800 0 0 0 0 0 0\n");
    write("proc/self/cgroup", "0::/system.slice/app.service\n");
  }
  ~FakeMachine() override { std::filesystem::remove_all(root_); }
  void write(const std::string& file, const std::string& text) const {
    std::filesystem::create_directories((root_ / file).parent_path());
    std::ofstream(root_ / file) << text;
  }
  void group(const std::string& name, const char* memory_max, const char* memory,
             const char* cpu_max, const char* usage_usec) const {
    const std::string folder = "sys/fs/cgroup/" + name + "/";
    write(folder + "memory.max", memory_max);
    write(folder + "memory.current", memory);
    write(folder + "cpu.max", cpu_max);
    write(folder + "cpu.stat", std::string("usage_usec ") + usage_usec + "\nuser_usec 1\n");
  }
  std::filesystem::path root_;
};

TEST_F(FakeMachine, WithoutGroupsTheMachineCounts) {
  const auto probe = make_system_probe(root_.string());
  auto sample = probe->sample();
  EXPECT_EQ(sample.memory_total, 100_GiB);
  EXPECT_NEAR(sample.memory_percent, 30, 0.01);
  EXPECT_EQ(sample.cpu_percent, 0) << "nothing to compare with yet";
  write("proc/stat", "cpu 160 0 115 825 0 0 0 0 0 0\n");
  EXPECT_NEAR(probe->sample().cpu_percent, 75, 0.01);
}

TEST_F(FakeMachine, AGroupWithoutLimitsChangesNothing) {
  group("system.slice/app.service", "max", "5", "max 100000", "77");
  EXPECT_EQ(make_system_probe(root_.string())->sample().memory_total, 100_GiB);
}

TEST_F(FakeMachine, TheOwnLimitCountsAsTheWholeMachine) {
  group("system.slice/app.service", "1073741824", "536870912", "50000 100000", "0");
  const auto probe = make_system_probe(root_.string());
  const auto sample = probe->sample();
  EXPECT_EQ(sample.memory_total, 1_GiB);
  EXPECT_NEAR(sample.memory_percent, 50, 0.01);
  group("system.slice/app.service", "1073741824", "536870912", "50000 100000", "999999999");
  EXPECT_EQ(probe->sample().cpu_percent, 100) << "half a core, all of it used";
}

TEST_F(FakeMachine, PagesOfFilesThatTheKernelGivesBackAreNotInUse) {
  const std::string stat = "sys/fs/cgroup/system.slice/app.service/memory.stat";
  group("system.slice/app.service", "1073741824", "966367642", "max 100000", "0");
  const auto probe = make_system_probe(root_.string());
  EXPECT_NEAR(probe->sample().memory_percent, 90, 0.01) << "nothing says how much is cache";
  write(stat, "anon 1\nfile 644245096\ninactive_anon 7\ninactive_file 536870912\nslab 3\n");
  EXPECT_EQ(probe->sample().memory_total, 1_GiB);
  EXPECT_NEAR(probe->sample().memory_percent, 40, 0.01);
  write(stat, "anon 1\ninactive_file 966367643\n");
  EXPECT_EQ(probe->sample().memory_total, 100_GiB) << "more cache than use: an empty group";
}

TEST_F(FakeMachine, ALimitAboveTheOwnGroupCountsWhereItIsTighter) {
  group("system.slice/app.service", "1073741824", "536870912", "max 100000", "0");
  group("system.slice", "2147483648", "2040109465", "200000 100000", "0");
  const auto probe = make_system_probe(root_.string());
  const auto sample = probe->sample();
  EXPECT_EQ(sample.memory_total, 2_GiB);
  EXPECT_NEAR(sample.memory_percent, 95, 0.01);
  group("system.slice", "2147483648", "2040109465", "200000 100000", "999999999");
  EXPECT_EQ(probe->sample().cpu_percent, 100);
}

}  // namespace
}  // namespace reeve::limits
