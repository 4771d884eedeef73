// Parameters of managers, and what makes two pools the same.
#include <reeve/audit/sink.hpp>

#include "tests/manager/manager_test_support.hpp"

namespace reeve::test {
namespace {

ResourceConfig complete() {
  ResourceConfig config;
  config.max_workers = 2;
  config.worker_timeout = 20s;
  config.worker_memory = 256_MiB;
  return config;
}

Preset preset(std::string name) {
  Preset result;
  result.name = std::move(name);
  result.config = complete();
  return result;
}

TEST(ManagerConfig, the_default_has_no_fault) {
  EXPECT_EQ(find_fault(ManagerConfig{}), std::nullopt);
}

TEST(ManagerConfig, every_fault_is_a_sentence) {
  const auto fault_after = [](auto change) {
    ManagerConfig config;
    change(config);
    EXPECT_THROW(PoolManager{config}, ConfigError);
    return find_fault(config).value_or("no fault");
  };
  using testing::HasSubstr;
  EXPECT_THAT(fault_after([](auto& c) { c.idle_timeout = -1ms; }), HasSubstr("idle_timeout is -1"));
  EXPECT_THAT(fault_after([](auto& c) { c.max_pools = 0; }), HasSubstr("max_pools is 0"));
  EXPECT_THAT(fault_after([](auto& c) { c.health_interval = -1s; }), HasSubstr("health_interval"));
  EXPECT_THAT(fault_after([](auto& c) { c.shutdown_deadline = 0ms; }),
              HasSubstr("shutdown_deadline is 0"));
  EXPECT_THAT(fault_after([](auto& c) { c.clock = nullptr; }), HasSubstr("clock is null"));
  EXPECT_THAT(fault_after([](auto& c) { c.defaults.nice = 50; }),
              HasSubstr("defaults: nice is 50"));
  EXPECT_THAT(fault_after([](auto& c) { c.presets = {preset("")}; }), HasSubstr("has no name"));
  EXPECT_THAT(fault_after([](auto& c) { c.presets = {preset("a"), preset("a")}; }),
              HasSubstr("two presets are named 'a'"));
  EXPECT_THAT(fault_after([](auto& c) {
                c.presets = {preset("a")};
                c.presets[0].config.max_workers = 0;
              }),
              HasSubstr("preset 'a': max_workers is 0"));
  EXPECT_THAT(fault_after([](auto& c) {
                c.presets = {preset("a")};
                c.presets[0].warm_workers = 3;
              }),
              HasSubstr("warm_workers is 3, above max_workers = 2"));
  EXPECT_THAT(fault_after([](auto& c) {
                c.presets = {preset("a"), preset("b")};
                c.max_pools = 1;
              }),
              HasSubstr("2 presets, but max_pools is 1"));
}

TEST(ManagerConfig, defaults_reach_the_pools) {
  ManagerConfig config;
  config.defaults.worker_timeout = 7s;
  config.defaults.nice = 3;
  PoolManager manager(config);
  const ManagedPool pool = manager.get_pool(2, thread);
  EXPECT_EQ(pool->config().worker_timeout, 7s);
  EXPECT_EQ(pool->config().nice, 3);
  EXPECT_GE(pool->config().worker_memory, 1_GiB);  // that of the machine
  GetOptions options;
  options.worker_timeout = 8s;
  options.worker_memory = 300_MiB;
  options.bind = Bind::core;
  options.devices = {"cuda:0"};
  const ManagedPool other = manager.get_pool(2, thread, options);
  EXPECT_EQ(other->config().worker_timeout, 8s);
  EXPECT_EQ(other->config().worker_memory, 300_MiB);
  EXPECT_EQ(other->config().bind, Bind::core);
  EXPECT_EQ(other->config().devices, std::vector<std::string>{"cuda:0"});
}

// ------------------------------------------------------------------------------------------------
// The key: whatever differs in one option is another pool.

struct Nowhere final : audit::Sink {
  void write(const audit::Event&) noexcept override {}
};

void prepare(int) {}
void prepare_else(int) {}

TEST(ManagerKey, every_option_makes_another_pool) {
  const auto sink = std::make_shared<Nowhere>();
  const std::vector<std::function<void(ResourceConfig&)>> changes = {
      [](auto& c) { c.max_workers = 3; },
      [](auto& c) { c.worker_timeout = 21s; },
      [](auto& c) { c.worker_memory = 257_MiB; },
      [](auto& c) { c.devices = {"cpu", "cpu"}; },
      [](auto& c) { c.devices = {"cuda:0"}; },
      [](auto& c) { c.isolation = Isolation::thread; },
      [](auto& c) { c.min_workers = 1; },
      [](auto& c) { c.idle_timeout = 1s; },
      [](auto& c) { c.acquire_timeout = 1s; },
      [](auto& c) { c.waiter_count_max = 7; },
      [](auto& c) { c.message_max = 1_MiB; },
      [](auto& c) { c.hard_memory = false; },
      [](auto& c) { c.watch_memory = false; },
      [](auto& c) { c.gpu_memory = 1_MiB; },
      [](auto& c) { c.recycle.tasks_max = 1; },
      [](auto& c) { c.recycle.age_max = 1s; },
      [](auto& c) { c.recycle.growth_max = 1_MiB; },
      [](auto& c) { c.bind = Bind::core; },
      [](auto& c) { c.bind = Bind::numa; },
      [](auto& c) { c.initializer = Initializer::make<&prepare>(1); },
      [](auto& c) { c.initializer = Initializer::make<&prepare>(2); },
      [](auto& c) { c.initializer = Initializer::make<&prepare_else>(1); },
      [](auto& c) { c.environment = {{"A", "1"}}; },
      [](auto& c) { c.environment = {{"A", "2"}}; },
      [](auto& c) { c.working_directory = "/"; },
      [](auto& c) { c.file_mask = 0; },
      [](auto& c) { c.file_mask = 077; },
      [](auto& c) { c.nice = 1; },
      [](auto& c) { c.output = Output::capture; },
      [](auto& c) { c.keep_capabilities = true; },
      [](auto& c) { c.use_cgroup = true; },
      [](auto& c) { c.exec_each_worker = true; },
      [](auto& c) { c.quarantine_max = 3; },
      [](auto& c) { c.audit_ring = 0; },
      [&](auto& c) { c.audit_sink = sink; },
  };
  PoolManager manager;
  std::vector<ManagedPool> pools{manager.get_pool(complete()),
                                 manager.get_pool(complete(), "label")};
  for (const auto& change : changes) {
    ResourceConfig config = complete();
    change(config);
    pools.push_back(manager.get_pool(config));
    EXPECT_EQ(pools.back(), manager.get_pool(config)) << "change " << pools.size() - 3;
  }
  EXPECT_EQ(manager.stats().active_pools, pools.size());
}

TEST(ManagerKey, the_same_initializer_is_known_by_what_it_does) {
  PoolManager manager;
  GetOptions first, second, other;
  first.initializer = Initializer::make<&prepare>(1);
  second.initializer = Initializer::make<&prepare>(1);
  other.initializer = Initializer::make<&prepare>(2);
  EXPECT_EQ(manager.get_pool(2, thread, first), manager.get_pool(2, thread, second));
  EXPECT_NE(manager.get_pool(2, thread, first), manager.get_pool(2, thread, other));
}

TEST(ManagerKey, a_label_keeps_components_apart) {
  PoolManager manager;
  GetOptions reports;
  reports.label = "reports";
  EXPECT_NE(manager.get_pool(2, thread), manager.get_pool(2, thread, reports));
  EXPECT_TRUE(manager.release_pool(2, thread, reports));
}

}  // namespace
}  // namespace reeve::test
