// The limiter's environment variables and the faults of its configuration.
#include <reeve/limits/limiter_config.hpp>

#include <cmath>
#include <cstdlib>
#include <reeve/base/error.hpp>

#include "tests/support/pch.hpp"

namespace reeve::limits {
namespace {

struct Variable {
  const char* name;
  std::vector<const char*> good, bad;
};

TEST(LimiterConfig, EveryVariableIsReadStrictlyAndNamedInItsError) {
  const std::vector<const char*> no_percent{"0",   "0.99", "100.1", "-1",  "nan", "inf",
                                            "80%", "",     " 80",   "80 ", "abc", "0x50"};
  const std::vector<Variable> variables{
      {"MAX_CPU_PERCENT", {"1", "90.5", "100"}, no_percent},
      {"MAX_MEMORY_PERCENT", {"1", "1e1", "100"}, no_percent},
      {"MAX_GPU_PERCENT", {"1", "33", "100"}, no_percent},
      {"MAX_CONCURRENT_TASKS", {"1", "100000"}, {"0", "-5", "100001", "1.5", "", "many", "2 "}},
      {"RESOURCE_CHECK_INTERVAL", {"0.01", "3600"}, {"0", "0.009", "3600.1", "nan", "", "1s"}},
  };
  for (const auto& v : variables) {
    for (const char* text : v.good) {
      ::setenv(v.name, text, 1);
      EXPECT_NO_THROW(LimiterConfig::from_environment()) << v.name << "=" << text;
    }
    for (const char* text : v.bad) {
      ::setenv(v.name, text, 1);
      try {
        LimiterConfig::from_environment();
        ADD_FAILURE() << v.name << "='" << text << "' was accepted";
      } catch (const ConfigError& e) {
        EXPECT_THAT(e.what(), ::testing::StartsWith(std::string(v.name) + "='" + text + "'"));
        EXPECT_THAT(e.what(), ::testing::HasSubstr(std::string("from ") + v.good.front()));
        EXPECT_THAT(e.what(), ::testing::HasSubstr(std::string("to ") + v.good.back()));
      }
    }
    ::unsetenv(v.name);
  }
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
              ::testing::HasSubstr("settle_time"));
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

}  // namespace
}  // namespace reeve::limits
