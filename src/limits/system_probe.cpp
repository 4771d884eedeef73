// The load of this machine: /proc, cgroup v2, NVML by dlopen.
#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <reeve/limits/limiter_config.hpp>
#include <sstream>
#include <string>
#include <vector>

namespace reeve::limits {
namespace {

/// The folders of the process's own cgroup v2 group and of every group above it, innermost first.
std::vector<std::string> own_groups(const std::string& root) {
  std::ifstream in(root + "/proc/self/cgroup");
  std::string path;
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("0::")) path = line.substr(3);
  std::vector<std::string> groups;
  if (path.empty()) return groups;
  while (path.ends_with('/')) path.pop_back();
  for (;; path.resize(path.rfind('/'))) {
    groups.push_back(root + "/sys/fs/cgroup" + path);
    if (path.empty()) return groups;
  }
}

std::optional<double> first_number(const std::string& path) {
  std::ifstream in(path);
  double value = 0;
  if (in >> value) return value;
  return std::nullopt;  // absent, or "max"
}

/// The value of `key` in a file of lines `key value`; 0 where there is none.
double value_of(const std::string& path, const std::string& key) {
  std::ifstream in(path);
  std::string word;
  double value = 0;
  while (in >> word >> value)
    if (word == key) return value;
  return 0;
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
  explicit SystemProbe(const std::string& root) : root_(root), groups_(own_groups(root)) {}

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
    if (const auto quota = tightest_quota()) {
      used = value_of(quota->group + "/cpu.stat", "usage_usec") * 1e-6;
      possible = std::chrono::duration<double>(now.time_since_epoch()).count() * quota->cores;
    } else {
      std::ifstream in(root_ + "/proc/stat");
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

  struct Quota {
    std::string group;
    double cores;
  };
  std::optional<Quota> tightest_quota() const {
    std::optional<Quota> tightest;
    for (const std::string& group : groups_) {
      std::ifstream in(group + "/cpu.max");
      double quota = 0, period = 0;
      if (!(in >> quota >> period) || period <= 0) continue;  // absent, or "max"
      if (!tightest || quota / period < tightest->cores) tightest = Quota{group, quota / period};
    }
    return tightest;
  }

  void memory(Sample& s) const {
    std::ifstream in(root_ + "/proc/meminfo");
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
    // The group that is fullest is the one that stops us, be it our own or one above it.
    for (const std::string& group : groups_) {
      const auto limit = first_number(group + "/memory.max");
      const auto current = first_number(group + "/memory.current");
      if (!limit || !current || *limit <= 0) continue;
      // Pages of files that nobody has used lately are given back before anyone is refused memory.
      const double cache = value_of(group + "/memory.stat", "inactive_file");
      const double in_use = std::max(*current - cache, 0.0);
      if (*limit * used >= in_use * total) continue;
      total = *limit;
      used = in_use;
    }
    s.memory_total = ByteSize{static_cast<std::uint64_t>(total)};
    s.memory_percent = total > 0 ? 100 * used / total : 0;
  }

  const std::string root_;
  const std::vector<std::string> groups_;
  Nvml nvml_;
  double last_used_ = 0, last_possible_ = 0, percent_ = 0;
};

}  // namespace

std::shared_ptr<UsageProbe> make_system_probe(const std::string& root) {
  return std::make_shared<SystemProbe>(root);
}

}  // namespace reeve::limits
