// The load of this machine: /proc, cgroup v2, NVML by dlopen.
#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <reeve/limits/limiter_config.hpp>
#include <sstream>
#include <string>
#include <thread>

namespace reeve::limits {
namespace {

std::string own_cgroup() {
  std::ifstream in("/proc/self/cgroup");
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("0::")) return "/sys/fs/cgroup" + line.substr(3);
  return {};
}

std::optional<double> first_number(const std::string& path) {
  std::ifstream in(path);
  double value = 0;
  if (in >> value) return value;
  return std::nullopt;  // absent, or "max"
}

/// GPU utilisation through the driver's library; a machine without one is a normal machine.
class Nvml {
 public:
  Nvml() {
    library_ = ::dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library_ == nullptr) return;
    const auto init = symbol<int (*)()>("nvmlInit_v2");
    count_ = symbol<int (*)(unsigned*)>("nvmlDeviceGetCount_v2");
    handle_ = symbol<int (*)(unsigned, void**)>("nvmlDeviceGetHandleByIndex_v2");
    rates_ = symbol<int (*)(void*, Rates*)>("nvmlDeviceGetUtilizationRates");
    usable_ = init && count_ && handle_ && rates_ && init() == 0;
  }
  std::optional<double> busiest() const {
    unsigned count = 0;
    if (!usable_ || count_(&count) != 0) return std::nullopt;
    std::optional<double> busiest;
    for (unsigned i = 0; i < count; ++i) {
      void* device = nullptr;
      Rates rates{};
      if (handle_(i, &device) != 0 || rates_(device, &rates) != 0) continue;
      busiest = std::max(busiest.value_or(0), static_cast<double>(rates.gpu));
    }
    return busiest;
  }

 private:
  struct Rates {
    unsigned gpu, memory;
  };
  template <class F>
  F symbol(const char* name) const {
    return reinterpret_cast<F>(::dlsym(library_, name));
  }
  void* library_ = nullptr;  // stays loaded: NVML does not survive being unloaded
  int (*count_)(unsigned*) = nullptr;
  int (*handle_)(unsigned, void**) = nullptr;
  int (*rates_)(void*, Rates*) = nullptr;
  bool usable_ = false;
};

class SystemProbe final : public UsageProbe {
 public:
  Sample sample() override {
    Sample s;
    s.cpu_percent = cpu();
    memory(s);
    s.gpu_percent = nvml_.busiest();
    return s;
  }

 private:
  /// Share of the CPU time that this process may have, used since the last call.
  double cpu() {
    double used = 0, possible = 0;
    const auto now = std::chrono::steady_clock::now();
    if (const auto quota = cpu_quota()) {
      std::ifstream in(cgroup_ + "/cpu.stat");
      std::string word;
      double micros = 0;
      while (in >> word >> micros)
        if (word == "usage_usec") break;
      used = micros * 1e-6;
      possible = std::chrono::duration<double>(now.time_since_epoch()).count() * *quota;
    } else {
      std::ifstream in("/proc/stat");
      std::string word;
      in >> word;
      double value = 0, idle = 0;
      for (int i = 0; i < 8 && in >> value; ++i) {
        possible += value;
        if (i == 3 || i == 4) idle += value;
      }
      used = possible - idle;
    }
    const double spent = used - last_used_, passed = possible - last_possible_;
    const bool first = last_possible_ == 0;
    if (first || passed > 0) {
      last_used_ = used;
      last_possible_ = possible;
      percent_ = first ? 0 : std::clamp(100 * spent / passed, 0.0, 100.0);
    }
    return percent_;
  }

  std::optional<double> cpu_quota() const {
    if (cgroup_.empty()) return std::nullopt;
    std::ifstream in(cgroup_ + "/cpu.max");
    double quota = 0, period = 0;
    if (in >> quota >> period && period > 0) return quota / period;
    return std::nullopt;
  }

  void memory(Sample& s) const {
    std::ifstream in("/proc/meminfo");
    double total = 0, available = 0;
    for (std::string line; std::getline(in, line);) {
      std::istringstream words(line);
      std::string name;
      double kib = 0;
      words >> name >> kib;
      if (name == "MemTotal:") total = kib * 1024;
      if (name == "MemAvailable:") available = kib * 1024;
    }
    double used = total - available;
    if (!cgroup_.empty()) {
      const auto limit = first_number(cgroup_ + "/memory.max");
      const auto current = first_number(cgroup_ + "/memory.current");
      if (limit && current && *limit < total) {
        total = *limit;
        used = *current;
      }
    }
    s.memory_total = ByteSize{static_cast<std::uint64_t>(total)};
    s.memory_percent = total > 0 ? 100 * used / total : 0;
  }

  const std::string cgroup_ = own_cgroup();
  Nvml nvml_;
  double last_used_ = 0, last_possible_ = 0, percent_ = 0;
};

}  // namespace

std::shared_ptr<UsageProbe> make_system_probe() {
  return std::make_shared<SystemProbe>();
}

}  // namespace reeve::limits
