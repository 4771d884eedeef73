// NVML through fake libraries: figures, fallbacks, and why there is no figure.
#include <reeve/os/gpu.hpp>

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "tests/support/pch.hpp"

namespace reeve::os {
namespace {

using ::testing::HasSubstr;

class GpuMonitorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    file_ = ::testing::TempDir() + "reeve-nvml-" + std::to_string(::getpid());
    ::setenv("FAKE_NVML_FILE", file_.c_str(), 1);
  }
  void TearDown() override {
    ::unsetenv("FAKE_NVML_FILE");
    ::unsetenv("FAKE_NVML_ERROR");
    std::remove(file_.c_str());
  }
  void tell(const std::string& text) { std::ofstream(file_) << text; }
  std::string file_;
};

TEST_F(GpuMonitorTest, ReadsAllFigures) {
  tell("123 1048576\n124 18446744073709551615\n");
  const GpuMonitor gpus(REEVE_FAKE_NVML_NORMAL);
  ASSERT_TRUE(gpus.available()) << gpus.reason();
  EXPECT_EQ(gpus.count(), 2u);
  EXPECT_EQ(gpus.name(0).value, "Fake GPU");
  EXPECT_EQ(gpus.memory(0).value->used, 150u);
  EXPECT_EQ(gpus.utilization(1).value, 37u);
  EXPECT_EQ(gpus.temperature(1).value, 61u);
  EXPECT_EQ(gpus.energy(0).value, 123456u);
  const auto processes = gpus.processes(0);
  ASSERT_TRUE(processes) << processes.reason;
  ASSERT_EQ(processes.value->size(), 2u);
  EXPECT_EQ(processes.value->front().pid, 123);
  EXPECT_EQ(processes.value->front().bytes, 1048576u);
  EXPECT_EQ(processes.value->back().bytes, std::nullopt) << "the driver does not tell";
  const auto none = gpus.processes(1);
  EXPECT_TRUE(none && none.value->empty()) << "an empty list is a value";
}

TEST_F(GpuMonitorTest, EnlargesItsListWhenTheDriverAsksForMore) {
  std::string text;
  for (int pid = 1; pid <= 500; ++pid) text += std::to_string(pid) + " 4096\n";
  tell(text);
  const GpuMonitor gpus(REEVE_FAKE_NVML_NORMAL);
  const auto processes = gpus.processes(0);
  ASSERT_TRUE(processes) << processes.reason;
  ASSERT_EQ(processes.value->size(), 500u);
  EXPECT_EQ(processes.value->back().pid, 500);
}

TEST_F(GpuMonitorTest, OlderSymbolsServe) {
  tell("7 9\n");
  const GpuMonitor gpus(REEVE_FAKE_NVML_OLD);
  EXPECT_EQ(gpus.memory(0).value->used, 100u);
  EXPECT_EQ(gpus.processes(0).value->front().bytes, 9u);
  EXPECT_FALSE(gpus.energy(0));
  EXPECT_THAT(gpus.energy(0).reason, HasSubstr("has no nvmlDeviceGetTotalEnergyConsumption"));
}

TEST_F(GpuMonitorTest, WhatIsMissingIsNamedAndNeverZero) {
  const GpuMonitor bare(REEVE_FAKE_NVML_BARE);
  EXPECT_TRUE(bare.available());
  EXPECT_FALSE(bare.memory(0).value.has_value());
  EXPECT_THAT(bare.memory(0).reason, HasSubstr("nvmlDeviceGetMemoryInfo"));
  EXPECT_THAT(bare.processes(0).reason, HasSubstr("ComputeRunningProcesses"));
  EXPECT_THAT(bare.name(2).reason, HasSubstr("no GPU 2"));
}

TEST_F(GpuMonitorTest, ErrorCodesBecomeReasons) {
  const GpuMonitor gpus(REEVE_FAKE_NVML_NORMAL);
  ::setenv("FAKE_NVML_ERROR", "15", 1);
  EXPECT_FALSE(gpus.processes(0));
  EXPECT_THAT(gpus.processes(0).reason, HasSubstr("GPU is lost"));
  EXPECT_THAT(gpus.memory(0).reason, HasSubstr("GPU is lost"));
  EXPECT_FALSE(gpus.utilization(0).value.has_value());
}

TEST_F(GpuMonitorTest, UnusableLibrariesSayWhy) {
  EXPECT_THAT(GpuMonitor(REEVE_FAKE_NVML_EMPTY).reason(), HasSubstr("no GPU"));
  EXPECT_THAT(GpuMonitor(REEVE_FAKE_NVML_BROKEN).reason(), HasSubstr("Driver Not Loaded"));
  EXPECT_THAT(GpuMonitor("/nonexistent/libnvidia-ml.so").reason(),
              HasSubstr("could not be loaded"));
  EXPECT_FALSE(GpuMonitor("/nonexistent/libnvidia-ml.so").memory(0));
  ::setenv("REEVE_NVML", REEVE_FAKE_NVML_NORMAL, 1);
  EXPECT_TRUE(GpuMonitor().available());
  ::unsetenv("REEVE_NVML");
}

TEST(CudaVisibleDevices, TakesTheNthOfWhatIsInherited) {
  EXPECT_EQ(cuda_visible_devices("cpu", nullptr), std::nullopt);
  EXPECT_EQ(cuda_visible_devices("cuda:x", nullptr), std::nullopt);
  EXPECT_EQ(cuda_visible_devices("cuda:3", nullptr), "3");
  EXPECT_EQ(cuda_visible_devices("cuda:1", "4,GPU-5d,6"), "GPU-5d");
  EXPECT_EQ(cuda_visible_devices("cuda:0", "4"), "4");
  EXPECT_EQ(cuda_visible_devices("cuda:2", "4,5"), "");
}

}  // namespace
}  // namespace reeve::os
