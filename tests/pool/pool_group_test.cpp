// A pool's cgroup: made where allowed, gone afterwards; a fork bomb ends with it and without it.
#include "pool/pool_group.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>

#include "tests/pool/pool_test_support.hpp"

namespace reeve::test {
namespace {

using ::testing::HasSubstr;

constexpr int bomb_processes = 120;

[[noreturn]] void explode(std::atomic<int>& born, int log) {
  for (;;) {
    if (born.fetch_add(1) >= bomb_processes) {
      for (;;) pause();
    }
    if (fork() == 0) {
      setsid();
      const std::string line = std::to_string(getpid()) + "\n";
      [[maybe_unused]] const auto n = write(log, line.data(), line.size());
    }
  }
}

int bomb(std::string log_name) {
  void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  const int log = open(log_name.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  explode(*static_cast<std::atomic<int>*>(page), log);
}

asio::awaitable<void> run_bomb(ResourcePool& pool, std::string log) {
  auto worker = co_await pool.acquire_worker("bomb");
  RunLimits limits;
  limits.timeout = 400ms;
  co_await worker.run<&bomb>(limits, log);
}

void expect_bomb_ends(bool use_cgroup) {
  const std::string log = ::testing::TempDir() + "reeve-bomb-" + std::to_string(getpid());
  ResourceConfig config = small_config();
  config.max_workers = 1;
  config.use_cgroup = use_cgroup;
  asio::io_context context;
  ResourcePool pool(context.get_executor(), config);
  if (use_cgroup && !pool.capabilities().has("cgroup_kill")) {
    GTEST_SKIP() << to_string(pool.capabilities());
  }
  try {
    run_in(context, run_bomb(pool, log));
    FAIL() << "the bomb returned";
  } catch (const WorkerTimeoutError& error) {
    EXPECT_TRUE(error.evidence().tree_complete);
    EXPECT_LT(error.evidence().kill_latency, 2s);
  }
  std::ifstream lines(log);
  int pid = 0, count = 0;
  for (; lines >> pid; ++count) {
    EXPECT_TRUE(kill(pid, 0) != 0 && errno == ESRCH) << pid << " is left";
  }
  EXPECT_GT(count, 20);
  std::remove(log.c_str());
}

// 47
TEST(PoolGroup, AForkBombEndsWithItsGroup) {
  expect_bomb_ends(true);
}

TEST(PoolGroup, AForkBombEndsByWalking) {
  expect_bomb_ends(false);
}

asio::awaitable<std::string> own_group(ResourcePool& pool) {
  auto worker = co_await pool.acquire_worker("where");
  co_return co_await worker.run([] {
    std::ifstream file("/proc/self/cgroup");
    return std::string(std::istreambuf_iterator<char>(file), {});
  });
}

std::size_t groups_of_ours(const std::string& own) {
  std::size_t count = 0;
  const std::string prefix = "reeve-pool-" + std::to_string(getpid()) + "-";
  for (const auto& entry : std::filesystem::directory_iterator(own))
    count += entry.path().filename().string().starts_with(prefix);
  return count;
}

TEST(PoolGroup, WorkersLiveInItAndItIsRemovedAtTheEnd) {
  const os::CgroupSelf self = os::find_own_cgroup();
  if (!self.writable || !self.kill) GTEST_SKIP() << self.reason;
  ResourceConfig config = small_config();
  config.use_cgroup = true;
  asio::io_context context;
  {
    ResourcePool pool(context.get_executor(), config);
    if (!pool.capabilities().has("cgroup_kill")) GTEST_SKIP() << to_string(pool.capabilities());
    EXPECT_THAT(run_in(context, own_group(pool)),
                HasSubstr("/reeve-pool-" + std::to_string(getpid()) + "-"));
    EXPECT_EQ(groups_of_ours(self.path), 1u);
  }
  context.restart();
  context.run_for(100ms);
  const auto until = std::chrono::steady_clock::now() + 5s;
  while (groups_of_ours(self.path) > 0 && std::chrono::steady_clock::now() < until)
    std::this_thread::sleep_for(5ms);  // until the warden, another process, has buried everybody
  EXPECT_EQ(groups_of_ours(self.path), 0u);
}

TEST(PoolGroup, OffIsReportedAsAChoice) {
  ResourceConfig config = small_config();
  config.use_cgroup = false;
  asio::io_context context;
  ResourcePool pool(context.get_executor(), config);
  EXPECT_FALSE(pool.capabilities().has("cgroup_kill"));
  EXPECT_THAT(to_string(pool.capabilities()), HasSubstr("use_cgroup is false"));
}

class FakeGroups : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "reeve-groups-XXXXXX";
    root_ = mkdtemp(name.data());
    self_.found = self_.writable = self_.kill = true;
    self_.path = root_.string();
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  std::string read(const std::string& path) {
    std::ifstream in(root_ / path);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::filesystem::path root_;
  os::CgroupSelf self_;
};

TEST_F(FakeGroups, WhatADeadProcessLeftIsRemovedAndALivingOnesKept) {
  const pid_t dead = fork();
  if (dead == 0) _exit(0);
  waitpid(dead, nullptr, 0);
  const std::string gone = "reeve-pool-" + std::to_string(dead) + "-0";
  const std::string kept = "reeve-pool-" + std::to_string(getpid()) + "-99";
  std::filesystem::create_directories(root_ / gone / "reeve-1-0-1");
  std::filesystem::create_directories(root_ / kept);
  std::filesystem::create_directories(root_ / "somebody-else");
  detail::remove_dead_pool_groups(root_.string());
  EXPECT_FALSE(std::filesystem::exists(root_ / gone));
  EXPECT_TRUE(std::filesystem::exists(root_ / kept));
  EXPECT_TRUE(std::filesystem::exists(root_ / "somebody-else"));
}

TEST_F(FakeGroups, MemoryThatIsNotPassedOnIsReported) {
  const detail::PoolGroup without(self_);
  EXPECT_FALSE(without.path().empty());
  EXPECT_FALSE(without.memory());
  EXPECT_THAT(without.memory_reason(), HasSubstr("memory is not in"));
  self_.memory = true;  // but there is no file to write to
  const detail::PoolGroup refused(self_);
  EXPECT_FALSE(refused.memory());
  EXPECT_THAT(refused.memory_reason(), HasSubstr("does not pass memory on"));
  EXPECT_NE(without.path(), refused.path());
  without.remove();
  EXPECT_FALSE(std::filesystem::exists(without.path()));
}

TEST_F(FakeGroups, WithoutPermissionThereIsNone) {
  self_.writable = false;
  self_.reason = "our group is not writable";
  const detail::PoolGroup none(self_);
  EXPECT_TRUE(none.path().empty());
  EXPECT_EQ(none.reason(), "our group is not writable");
}

}  // namespace
}  // namespace reeve::test
