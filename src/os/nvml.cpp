// NVML by dlopen with declarations of our own: neither header nor stub library is needed to build.
#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <reeve/os/gpu.hpp>

namespace reeve::os {
namespace {

using Result = int;
using Device = void*;
constexpr Result success = 0;
constexpr Result insufficient_size = 7;
constexpr std::uint64_t not_available = ~std::uint64_t{0};

struct MemoryV1 {
  unsigned long long total, free, used;
};
struct MemoryV2 {
  unsigned version;
  unsigned long long total, reserved, free, used;
};
struct ProcessInfo {
  unsigned pid;
  unsigned long long bytes;
  unsigned gpu_instance, compute_instance;
};
struct Utilization {
  unsigned gpu, memory;
};
static_assert(sizeof(MemoryV2) == 40 && sizeof(ProcessInfo) == 24 && sizeof(MemoryV1) == 24);
constexpr unsigned memory_v2_version = sizeof(MemoryV2) | (2u << 24);

using ListProcesses = Result(Device, unsigned*, ProcessInfo*);

}  // namespace

struct GpuMonitor::Library {
  void* handle = nullptr;
  std::string path;
  std::string reason;
  std::vector<Device> devices;

  Result (*shutdown)() = nullptr;
  const char* (*error_string)(Result) = nullptr;
  Result (*get_name)(Device, char*, unsigned) = nullptr;
  Result (*memory_v2)(Device, MemoryV2*) = nullptr;
  Result (*memory_v1)(Device, MemoryV1*) = nullptr;
  ListProcesses* processes = nullptr;
  ListProcesses* mps_processes = nullptr;
  Result (*utilization)(Device, Utilization*) = nullptr;
  Result (*temperature)(Device, int, unsigned*) = nullptr;
  Result (*energy)(Device, unsigned long long*) = nullptr;

  explicit Library(std::string library) : path(std::move(library)) { open(); }
  ~Library() {
    if (shutdown != nullptr) shutdown();
    if (handle != nullptr) dlclose(handle);
  }

  template <class F>
  bool find(F*& function, const char* name) const {
    function = reinterpret_cast<F*>(dlsym(handle, name));
    return function != nullptr;
  }

  std::string text(const char* what, Result result) const {
    const char* known = error_string != nullptr ? error_string(result) : nullptr;
    return std::string(what) +
           " failed: " + (known != nullptr ? known : "NVML error " + std::to_string(result));
  }

  void open();
  void find_optional();
  void list_devices();

  // Calls `function` on a device; says why that cannot be, if so.
  template <class T, class F, class Call>
  GpuReading<T> read(unsigned device, F* function, const char* name, Call call) const {
    if (!reason.empty()) return {std::nullopt, reason};
    if (device >= devices.size()) {
      return {std::nullopt, "there is no GPU " + std::to_string(device) + "; NVML knows " +
                                std::to_string(devices.size())};
    }
    if (function == nullptr) return {std::nullopt, path + " has no " + name};
    T value{};
    const Result result = call(devices[device], value);
    if (result != success) return {std::nullopt, text(name, result)};
    return {std::move(value), {}};
  }
};

void GpuMonitor::Library::open() {
  handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* error = dlerror();
    reason = "NVML could not be loaded: " + std::string(error != nullptr ? error : path);
    return;
  }
  Result (*init)() = nullptr;
  find(error_string, "nvmlErrorString");
  if (!find(init, "nvmlInit_v2")) {
    reason = path + " has no nvmlInit_v2";
    return;
  }
  const Result result = init();
  if (result != success) {
    reason = text("nvmlInit_v2", result);
    return;
  }
  find(shutdown, "nvmlShutdown");
  find_optional();
  list_devices();
}

void GpuMonitor::Library::find_optional() {
  find(get_name, "nvmlDeviceGetName");
  find(memory_v2, "nvmlDeviceGetMemoryInfo_v2");
  find(memory_v1, "nvmlDeviceGetMemoryInfo");
  // The first version has another layout: better no figure than a wrong one.
  if (!find(processes, "nvmlDeviceGetComputeRunningProcesses_v3"))
    find(processes, "nvmlDeviceGetComputeRunningProcesses_v2");
  if (!find(mps_processes, "nvmlDeviceGetMPSComputeRunningProcesses_v3"))
    find(mps_processes, "nvmlDeviceGetMPSComputeRunningProcesses_v2");
  find(utilization, "nvmlDeviceGetUtilizationRates");
  find(temperature, "nvmlDeviceGetTemperature");
  find(energy, "nvmlDeviceGetTotalEnergyConsumption");
}

void GpuMonitor::Library::list_devices() {
  Result (*get_count)(unsigned*) = nullptr;
  Result (*get_handle)(unsigned, Device*) = nullptr;
  if (!find(get_count, "nvmlDeviceGetCount_v2") ||
      !find(get_handle, "nvmlDeviceGetHandleByIndex_v2")) {
    reason = path + " lacks nvmlDeviceGetCount_v2 or nvmlDeviceGetHandleByIndex_v2";
    return;
  }
  unsigned count = 0;
  Result result = get_count(&count);
  if (result != success) {
    reason = text("nvmlDeviceGetCount_v2", result);
    return;
  }
  for (unsigned i = 0; i < count; ++i) {
    Device device = nullptr;
    result = get_handle(i, &device);
    if (result != success) {
      reason = text("nvmlDeviceGetHandleByIndex_v2", result);
      return;
    }
    devices.push_back(device);
  }
  if (devices.empty()) reason = "NVML knows no GPU on this machine";
}

namespace {

// The list may grow between the question for its size and the answer.
Result list(ListProcesses* function, Device device, std::vector<GpuProcess>& processes) {
  std::vector<ProcessInfo> entries(32);
  for (int attempt = 0; attempt < 8; ++attempt) {
    auto count = static_cast<unsigned>(entries.size());
    const Result result = function(device, &count, entries.data());
    if (result == insufficient_size) {
      entries.resize(std::max<std::size_t>(2 * entries.size(), count + std::size_t{8}));
      continue;
    }
    if (result != success) return result;
    for (unsigned i = 0; i < count && i < entries.size(); ++i) {
      GpuProcess process{static_cast<pid_t>(entries[i].pid), entries[i].bytes};
      if (entries[i].bytes == not_available) process.bytes.reset();
      processes.push_back(process);
    }
    return success;
  }
  return insufficient_size;
}

std::string chosen(std::string library) {
  if (!library.empty()) return library;
  const char* name = std::getenv("REEVE_NVML");
  return name != nullptr && *name != '\0' ? name : "libnvidia-ml.so.1";
}

}  // namespace

GpuMonitor::GpuMonitor(std::string library)
    : library_(std::make_unique<Library>(chosen(std::move(library)))) {}
GpuMonitor::~GpuMonitor() = default;

bool GpuMonitor::available() const noexcept {
  return library_->reason.empty();
}
const std::string& GpuMonitor::reason() const noexcept {
  return library_->reason;
}
unsigned GpuMonitor::count() const noexcept {
  return static_cast<unsigned>(library_->devices.size());
}

GpuReading<std::string> GpuMonitor::name(unsigned device) const {
  return library_->read<std::string>(
      device, library_->get_name, "nvmlDeviceGetName", [&](Device handle, std::string& value) {
        std::array<char, 128> text{};
        const Result result = library_->get_name(handle, text.data(), unsigned{text.size() - 1});
        value = text.data();
        return result;
      });
}

GpuReading<GpuMemory> GpuMonitor::memory(unsigned device) const {
  if (library_->memory_v2 != nullptr) {
    auto reading =
        library_->read<GpuMemory>(device, library_->memory_v2, "nvmlDeviceGetMemoryInfo_v2",
                                  [&](Device handle, GpuMemory& value) {
                                    MemoryV2 memory{};
                                    memory.version = memory_v2_version;
                                    const Result result = library_->memory_v2(handle, &memory);
                                    value = {memory.total, memory.used, memory.free};
                                    return result;
                                  });
    if (reading || library_->memory_v1 == nullptr) return reading;
  }
  return library_->read<GpuMemory>(device, library_->memory_v1, "nvmlDeviceGetMemoryInfo",
                                   [&](Device handle, GpuMemory& value) {
                                     MemoryV1 memory{};
                                     const Result result = library_->memory_v1(handle, &memory);
                                     value = {memory.total, memory.used, memory.free};
                                     return result;
                                   });
}

GpuReading<std::vector<GpuProcess>> GpuMonitor::processes(unsigned device) const {
  using List = std::vector<GpuProcess>;
  return library_->read<List>(device, library_->processes,
                              "nvmlDeviceGetComputeRunningProcesses_v3 (nor _v2)",
                              [&](Device handle, List& value) {
                                const Result result = list(library_->processes, handle, value);
                                // Clients of an MPS server, where the driver tells of them; not an
                                // error where not.
                                if (result == success && library_->mps_processes != nullptr)
                                  list(library_->mps_processes, handle, value);
                                return result;
                              });
}

GpuReading<unsigned> GpuMonitor::utilization(unsigned device) const {
  return library_->read<unsigned>(device, library_->utilization, "nvmlDeviceGetUtilizationRates",
                                  [&](Device handle, unsigned& value) {
                                    Utilization rates{};
                                    const Result result = library_->utilization(handle, &rates);
                                    value = rates.gpu;
                                    return result;
                                  });
}

GpuReading<unsigned> GpuMonitor::temperature(unsigned device) const {
  return library_->read<unsigned>(
      device, library_->temperature, "nvmlDeviceGetTemperature",
      [&](Device handle, unsigned& value) { return library_->temperature(handle, 0, &value); });
}

GpuReading<std::uint64_t> GpuMonitor::energy(unsigned device) const {
  return library_->read<std::uint64_t>(
      device, library_->energy, "nvmlDeviceGetTotalEnergyConsumption",
      [&](Device handle, std::uint64_t& value) {
        unsigned long long millijoules = 0;
        const Result result = library_->energy(handle, &millijoules);
        value = millijoules;
        return result;
      });
}

std::optional<std::string> cuda_visible_devices(std::string_view device, const char* inherited) {
  constexpr std::string_view prefix = "cuda:";
  if (!device.starts_with(prefix)) return std::nullopt;
  const std::string_view digits = device.substr(prefix.size());
  unsigned number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  if (inherited == nullptr) return std::to_string(number);
  std::string_view rest(inherited);
  for (;; --number) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    if (number == 0) return std::string(rest.substr(0, comma));
    if (comma == rest.size()) return std::string();
    rest.remove_prefix(comma + 1);
  }
}

}  // namespace reeve::os
