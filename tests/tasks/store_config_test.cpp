// Environment variables and faults of the store's configuration.
#include <reeve/base/error.hpp>
#include <reeve/tasks/store_config.hpp>

#include <cstdlib>

#include "tests/support/pch.hpp"

namespace reeve::tasks {
namespace {

class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) { ::setenv(name, value, 1); }
  ~Variable() { ::unsetenv(name_); }

 private:
  const char* name_;
};

TEST(StoreConfig, ReadsTheEnvironment) {
  const Variable path("TASK_STORAGE_PATH", "/tmp/x.db"), prefix("TASK_STORAGE_PREFIX", "p:"),
      ttl("TASK_STORAGE_TTL", "60"), sync("TASK_STORAGE_SYNC", "normal"),
      delay("TASK_STORAGE_RELAXED_DELAY_MS", "5");
  const auto config = StoreConfig::from_environment();
  EXPECT_EQ(config.path, "/tmp/x.db");
  EXPECT_EQ(config.prefix, "p:");
  EXPECT_EQ(config.retention.failed, std::chrono::seconds{60});
  EXPECT_EQ(config.sync, DiskSync::normal);
  EXPECT_EQ(config.relaxed_delay, std::chrono::milliseconds{5});
}

TEST(StoreConfig, HasTheDefaultsOfThePage) {
  const auto config = StoreConfig::from_environment();
  EXPECT_EQ(config.path, "");
  EXPECT_EQ(config.prefix, "task:");
  EXPECT_EQ(config.retention.completed, std::chrono::hours{24});
  EXPECT_EQ(config.sync, DiskSync::full);
}

TEST(StoreConfig, ErrorsNameTheVariableAndTheValue) {
  for (const auto& [name, value] : std::vector<std::pair<const char*, const char*>>{
           {"TASK_STORAGE_TTL", "1h"},
           {"TASK_STORAGE_TTL", "-1"},
           {"TASK_STORAGE_TTL", ""},
           {"TASK_STORAGE_PATH", ""},
           {"TASK_STORAGE_TTL", "99999999999999999999"},
           {"TASK_STORAGE_SYNC", "off"},
           {"TASK_STORAGE_RELAXED_DELAY_MS", "0"}}) {
    const Variable variable(name, value);
    try {
      StoreConfig::from_environment();
      FAIL() << name << '=' << value;
    } catch (const ConfigError& e) {
      EXPECT_THAT(e.what(), ::testing::HasSubstr(std::string(name) + "='" + value + "'"));
    }
  }
}

TEST(StoreConfig, FindsFaults) {
  StoreConfig config;
  EXPECT_FALSE(find_fault(config));
  config.relaxed_delay = std::chrono::milliseconds{0};
  EXPECT_THAT(*find_fault(config), ::testing::HasSubstr("relaxed_delay"));
  config = {};
  config.prefix = "\xff";
  EXPECT_TRUE(find_fault(config));
  config = {};
  config.retention.completed = std::chrono::hours{-1};
  EXPECT_THAT(*find_fault(config), ::testing::HasSubstr("-3600000 ms; it must be 0 (for ever) to"));
}

}  // namespace
}  // namespace reeve::tasks
