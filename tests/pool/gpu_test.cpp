// GPU limits of workers, against a library that looks like NVML and reads its figures from a file.
#include <reeve/pool/config.hpp>

#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "tests/pool/pool_test_support.hpp"

namespace reeve::test {
namespace {

using ::testing::HasSubstr;

class PoolGpu : public ::testing::Test {
 protected:
  void SetUp() override {
    file_ = ::testing::TempDir() + "reeve-pool-nvml-" + std::to_string(getpid());
    ::setenv("FAKE_NVML_FILE", file_.c_str(), 1);
    ::setenv("REEVE_NVML", REEVE_FAKE_NVML, 1);
    ::unsetenv("CUDA_VISIBLE_DEVICES");
    config_.devices = {"cuda:0"};
    config_.max_workers = 1;
    config_.gpu_memory = 64_MiB;
  }
  void TearDown() override {
    for (const char* name : {"FAKE_NVML_FILE", "REEVE_NVML", "FAKE_NVML_ERROR"}) ::unsetenv(name);
    std::remove(file_.c_str());
  }
  std::string file_;
  ResourceConfig config_ = small_config();
};

// Plays a task that allocates on the GPU: its line in the driver's list.
void claim(const std::string& file, std::uint64_t bytes) {
  const std::string next = file + ".new";
  std::ofstream(next) << getpid() << ' ' << bytes << '\n';
  std::rename(next.c_str(), file.c_str());
}

int claim_and_stay(std::string file, std::uint64_t bytes) {
  claim(file, bytes);
  for (;;) pause();
}

int claim_and_work(std::string file, std::uint64_t bytes, int milliseconds) {
  claim(file, bytes);
  usleep(static_cast<useconds_t>(milliseconds) * 1000);
  return getpid();
}

int claim_in_a_child(std::string file, std::uint64_t bytes) {
  if (fork() == 0) claim_and_stay(file, bytes);
  for (;;) pause();
}

template <auto Task>
asio::awaitable<int> run_task(ResourcePool& pool, std::string file, std::uint64_t bytes) {
  WorkerLease worker = co_await pool.acquire_worker("gpu task");
  co_return co_await worker.template run<Task>(file, bytes);
}

template <auto Task>
void expect_ended(const ResourceConfig& config, const std::string& file, bool in_child) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), config);
  EXPECT_TRUE(pool.capabilities().has("nvml")) << to_string(pool.capabilities());
  try {
    run_in(context, run_task<Task>(pool, file, (100_MiB).bytes()));
    FAIL() << "the limit did not hold";
  } catch (const WorkerMemoryError& error) {
    EXPECT_EQ(error.evidence().mechanism, "nvml");
    EXPECT_EQ(error.evidence().memory_limit, 64_MiB);
    EXPECT_EQ(error.evidence().memory_observed, 100_MiB);
    EXPECT_GT(error.evidence().pid, 0);
    EXPECT_TRUE(error.evidence().tree_complete);
    EXPECT_LT(error.evidence().elapsed, 5s) << "far below the lease's time";
    EXPECT_THAT(error.what(), HasSubstr("raise gpu_memory"));
    EXPECT_GE(error.evidence().descendants_killed, in_child ? 1u : 0u);
  }
}

// 45
TEST_F(PoolGpu, LeaseThatTakesTooMuchGpuMemoryIsEnded) {
  expect_ended<&claim_and_stay>(config_, file_, false);
}

// 45
TEST_F(PoolGpu, MemoryOfDescendantsCounts) {
  expect_ended<&claim_in_a_child>(config_, file_, true);
}

asio::awaitable<int> run_work(ResourcePool& pool, std::string file, std::uint64_t bytes) {
  auto worker = co_await pool.acquire_worker("gpu task");
  co_return co_await worker.run<&claim_and_work>(file, bytes, 350);
}

// 45
TEST_F(PoolGpu, AContextAloneStaysBelowTheLimit) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), config_);
  EXPECT_GT(run_in(context, run_work(pool, file_, (60_MiB).bytes())), 0);
  EXPECT_EQ(pool.status().deaths.memory, 0u);
}

TEST_F(PoolGpu, AnotherDeviceIsNotMeant) {
  config_.devices = {"cuda:1"};  // the fake's second GPU has no processes
  asio::io_context context;
  ResourcePool pool(context.get_executor(), config_);
  EXPECT_GT(run_in(context, run_work(pool, file_, (100_MiB).bytes())), 0);
}

// 45
TEST_F(PoolGpu, UnavailableIsReportedWithItsReason) {
  const auto detail = [&](const char* library) {
    ::setenv("REEVE_NVML", library, 1);
    asio::io_context context;
    ResourcePool pool(context.get_executor(), config_);
    EXPECT_FALSE(pool.capabilities().has("nvml"));
    EXPECT_GT(run_in(context, run_work(pool, file_, (100_MiB).bytes())), 0) << "work goes on";
    return to_string(pool.capabilities());
  };
  EXPECT_THAT(detail("/nonexistent/libnvidia-ml.so"),
              HasSubstr("gpu_memory is not enforced: NVML could not be loaded"));
  ::setenv("FAKE_NVML_ERROR", "15", 1);
  EXPECT_THAT(detail(REEVE_FAKE_NVML), HasSubstr("GPU is lost"));
}

std::string visible() {
  const char* devices = std::getenv("CUDA_VISIBLE_DEVICES");
  const char* order = std::getenv("CUDA_DEVICE_ORDER");
  return std::string(devices != nullptr ? devices : "unset") + " " +
         (order != nullptr ? order : "unset");
}

asio::awaitable<std::string> ask_visible(ResourcePool& pool, const char* device) {
  AcquireOptions options;
  options.device = device;
  auto worker = co_await pool.acquire_worker("which", options);
  co_return co_await worker.run<&visible>();
}

TEST_F(PoolGpu, WorkerSeesItsDeviceAlone) {
  config_.devices = {"cuda:0", "cuda:1", "cpu"};
  config_.max_workers = 3;
  config_.environment = {{"CUDA_VISIBLE_DEVICES", "5,7"}};
  asio::io_context context;
  ResourcePool pool(context.get_executor(), config_);
  run_in(context, pool.warm_up(3));
  EXPECT_EQ(run_in(context, ask_visible(pool, "cuda:1")), "7 PCI_BUS_ID");
  EXPECT_EQ(run_in(context, ask_visible(pool, "cuda:0")), "5 PCI_BUS_ID");
  EXPECT_EQ(run_in(context, ask_visible(pool, "cpu")), "5,7 unset");
}

}  // namespace
}  // namespace reeve::test
