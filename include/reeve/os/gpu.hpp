// What NVIDIA GPUs tell through NVML: memory, processes, load. Loaded at run time or not at all.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace reeve::os {

/// A figure, or a sentence why there is none: never a false 0.
template <class T>
struct GpuReading {
  std::optional<T> value;
  std::string reason;  ///< set when there is no value
  explicit operator bool() const noexcept { return value.has_value(); }
};

struct GpuMemory {
  std::uint64_t total = 0;
  std::uint64_t used = 0;
  std::uint64_t free = 0;
};

/// A process with a compute context. `bytes` is empty where the driver does not tell.
struct GpuProcess {
  pid_t pid = 0;
  std::optional<std::uint64_t> bytes;
};

/// The GPUs of this machine, by NVML's index (the order of CUDA_DEVICE_ORDER=PCI_BUS_ID).
///
/// Pids are those of the host: in a container with its own pid namespace they match nobody here.
/// Threads: any, at the same time. Cost: a reading enters the driver, 10 us to some ms; a driver
/// that hangs does not return, so read on a thread that nobody waits for.
class GpuMonitor {
 public:
  /// Loads `library`; empty: the one that the environment variable REEVE_NVML names, else
  /// libnvidia-ml.so.1. Never throws for what the machine lacks: see `reason`.
  explicit GpuMonitor(std::string library = {});
  ~GpuMonitor();
  GpuMonitor(const GpuMonitor&) = delete;
  GpuMonitor& operator=(const GpuMonitor&) = delete;

  bool available() const noexcept;
  /// Why nothing can be read; empty when it can.
  const std::string& reason() const noexcept;
  unsigned count() const noexcept;

  GpuReading<std::string> name(unsigned device) const;
  GpuReading<GpuMemory> memory(unsigned device) const;
  /// Processes that compute on the device; an empty list is a value.
  GpuReading<std::vector<GpuProcess>> processes(unsigned device) const;
  /// Percent of the last sample period in which a kernel ran.
  GpuReading<unsigned> utilization(unsigned device) const;
  /// Degrees Celsius.
  GpuReading<unsigned> temperature(unsigned device) const;
  /// Millijoules since the driver was loaded; differences give power.
  GpuReading<std::uint64_t> energy(unsigned device) const;

 private:
  struct Library;
  std::unique_ptr<Library> library_;
};

/// What CUDA_VISIBLE_DEVICES must be for `device` ("cuda:N"), where `inherited` is its value so
/// far or null: entry N of that list, else N itself. Empty text: nothing is visible, since the
/// list is shorter; no value: `device` is no cuda device.
std::optional<std::string> cuda_visible_devices(std::string_view device, const char* inherited);

}  // namespace reeve::os
