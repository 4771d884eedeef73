// Environment variables and faults of the store's configuration.
#include <reeve/base/error.hpp>
#include <reeve/tasks/store_config.hpp>

#include <boost/asio/io_context.hpp>
#include <cstdlib>
#include <reeve/tasks/task_store.hpp>

#include "tests/support/environment.hpp"
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

TEST(StoreConfig, NumbersAreReadStrictlyAndTheirRangeIsNamed) {
  const std::vector<test::Variable> variables{
      {"TASK_STORAGE_TTL",
       {"0", "1", "315360000"},
       {"315360001", "-1", "1.5", "1h", "", " 1", "1 ", "+1", "0x10", "99999999999999999999"}},
      {"TASK_STORAGE_RELAXED_DELAY_MS",
       {"1", "3600000"},
       {"0", "3600001", "-1", "0.5", "5ms", "", " 5", "99999999999999999999"}},
  };
  test::expect_read_strictly(variables, [] { StoreConfig::from_environment(); });
}

TEST(StoreConfig, ARetentionOfZeroSecondsKeepsForEver) {
  const Variable ttl("TASK_STORAGE_TTL", "0");
  const auto kept = StoreConfig::from_environment().retention;
  EXPECT_EQ(kept.completed.count(), 0);
  EXPECT_EQ(kept.failed.count(), 0);
  EXPECT_EQ(kept.cancelled.count(), 0);
}

TEST(StoreConfig, APrefixIs64BytesOfUtf8AtMost) {
  const std::string longest(64, 'p'), too_long(65, 'p');
  for (const std::string& good : {std::string(), std::string("p\xc3\xa4:"), longest}) {
    const Variable prefix("TASK_STORAGE_PREFIX", good.c_str());
    EXPECT_EQ(StoreConfig::from_environment().prefix, good);
  }
  for (const std::string& bad : {too_long, std::string("p\xff"), std::string("p\xc3")}) {
    const Variable prefix("TASK_STORAGE_PREFIX", bad.c_str());
    try {
      StoreConfig::from_environment();
      FAIL() << bad;
    } catch (const ConfigError& e) {
      EXPECT_THAT(e.what(), ::testing::StartsWith("TASK_STORAGE_PREFIX='" + bad + "'"));
      EXPECT_THAT(e.what(), ::testing::HasSubstr("at most 64 bytes of UTF-8"));
    }
  }
}

TEST(StoreConfig, BoundsOfTheQueueAndTheLogAreInclusive) {
  StoreConfig config;
  config.queue_max = ByteSize{1ULL << 20};
  for (const int frames : {16, 1'000'000}) {
    config.checkpoint_frames = frames;
    EXPECT_EQ(find_fault(config), std::nullopt);
  }
  for (const int frames : {15, 0, -1, 1'000'001}) {
    config.checkpoint_frames = frames;
    EXPECT_EQ(find_fault(config),
              "checkpoint_frames is " + std::to_string(frames) + "; it must be 16 to 1,000,000");
  }
  config = {};
  config.queue_max = ByteSize{(1ULL << 20) - 1};
  EXPECT_EQ(find_fault(config), "queue_max is 1048575 bytes; it must be at least 1 MiB");
  boost::asio::io_context context;
  EXPECT_THROW(TaskStore(context.get_executor(), config), ConfigError);
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
