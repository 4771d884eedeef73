// Settings of workers, and an honest list of what enforces them.
#include "pool/mechanisms.hpp"

#include <fmt/format.h>
#include <link.h>

#include <algorithm>
#include <cstring>
#include <thread>

#include "process/worker.hpp"

namespace reeve::detail {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif
#else
constexpr bool sanitized = false;
#endif

// A wall behind the watch, not the limit itself: page cache and shared pages count here, too.
std::uint64_t group_memory(const ResourceConfig& config) {
  return config.worker_memory.bytes() + config.message_max.bytes() + (64_MiB).bytes();
}

constexpr std::uint64_t group_pids = 4096;

}  // namespace

// The writable segments of the program, which a worker has as private memory, and its first stacks.
ByteSize least_worker_memory() {
  const auto add_segments = [](dl_phdr_info* info, std::size_t, void* sum) {
    for (int i = 0; i < info->dlpi_phnum; ++i) {
      const auto& segment = info->dlpi_phdr[i];
      if (segment.p_type == PT_LOAD && (segment.p_flags & PF_W) != 0)
        *static_cast<std::uint64_t*>(sum) += segment.p_memsz;
    }
    return 0;
  };
  std::uint64_t bytes = 0;
  dl_iterate_phdr(add_segments, &bytes);
  return ByteSize{bytes} + 4_MiB;
}

std::string settings_text(const ResourceConfig& config) {
  if (config.working_directory.empty() && config.environment.empty()) return {};
  std::string text = config.working_directory;
  text.push_back('\0');
  for (const auto& [name, value] : config.environment)
    text.append(name + "=" + value).push_back('\0');
  return text;
}

std::int64_t spin_ns(const ResourceConfig& config) {
  static const bool alone = std::thread::hardware_concurrency() == 1;
  return alone ? 0 : std::chrono::nanoseconds(config.spin_time).count();
}

process::WorkerSettings worker_settings(const ResourceConfig& config, std::size_t text_bytes) {
  process::WorkerSettings settings;
  settings.data_limit = config.hard_memory && !sanitized ? config.worker_memory.bytes() : 0;
  settings.data_reserve = process::refusal_reserve;
  settings.channel_bytes = process::channel_header_bytes + config.message_max.bytes() / 4096 * 4096;
  const ByteSize growth = config.recycle.growth_max;
  settings.growth_max = (growth > 0_B ? growth : config.worker_memory / 2).bytes();
  settings.depth = process::nesting_depth() + 1;
  settings.nice = config.nice;
  settings.spin_ns = spin_ns(config);
  settings.file_mask = config.file_mask ? static_cast<int>(*config.file_mask) : -1;
  settings.drop_capabilities = config.keep_capabilities ? 0 : 1;
  settings.capture_output = config.output == Output::capture ? 1 : 0;
  settings.exec_each = config.exec_each_worker ? 1 : 0;
  settings.text_bytes = static_cast<std::uint32_t>(text_bytes);
  return settings;
}

void enter_group(process::WorkerSettings& settings, const PoolGroup& group,
                 const ResourceConfig& config) {
  std::memset(settings.cgroup, 0, sizeof settings.cgroup);
  std::memcpy(settings.cgroup, group.path().data(),
              std::min(group.path().size(), sizeof settings.cgroup - 1));
  settings.group_memory = group.memory() ? group_memory(config) : 0;
  settings.group_pids = group.pids() ? group_pids : 0;
}

Death death_of(const process::Report& report) {
  Death death;
  death.cause = report.cause;
  death.by_signal = report.died_by_signal != 0;
  death.status = report.status;
  death.tree_complete = report.tree_complete != 0;
  death.descendants_killed = report.descendants_killed;
  death.limit = report.limit;
  death.observed = report.observed;
  death.peak = report.peak;
  death.decided_at = report.decided_at;
  death.dead_at = report.dead_at;
  death.cpu_ns = report.cpu_ns;
  death.tail.assign(report.tail, report.tail_size);
  return death;
}

Capabilities list_mechanisms(const process::WorkerSettings& settings, const PoolGroup& group,
                             const ResourceConfig& config, unsigned warden_threads) {
  Capabilities result;
  const auto add = [&](const char* name, bool active, std::string detail) {
    result.mechanisms.push_back({name, active, std::move(detail)});
  };
  add("deadline", true, "held by the warden, also while this program's event loop is blocked");
  add("rlimit_data", settings.data_limit != 0,
      settings.data_limit != 0
          ? "private memory is refused at worker_memory; new throws, the worker survives"
      : sanitized ? "a sanitizer reserves terabytes"
                  : "hard_memory is false");
  add("statm", config.watch_memory,
      config.watch_memory ? "resident memory of the worker's tree is watched while it is leased"
                          : "watch_memory is false");
  const bool grouped = !group.path().empty();
  add("cgroup_kill", grouped,
      grouped ? "a fresh group per worker below " + group.path()
              : "trees are walked, since " + group.reason());
  add("cgroup_memory", group.memory(),
      group.memory()
          ? fmt::format("memory.max = {} per worker, page cache and shared pages included",
                        to_string(ByteSize{group_memory(config)}))
          : group.memory_reason());
  add("cgroup_pids", group.pids(),
      group.pids() ? fmt::format("pids.max = {} per worker", group_pids)
                   : "pids is not delegated to this program");
  add("orphans", true,
      grouped
          ? "workers and what they started die with this program, also after SIGKILL, and with "
            "the warden"
          : "workers die with this program, also after SIGKILL; if the warden itself is killed, "
            "deeper descendants die by best effort");
  add("bind", config.bind != Bind::none,
      config.bind == Bind::core   ? "worker i runs on core i, round robin"
      : config.bind == Bind::numa ? "worker i runs on NUMA node i, round robin"
                                  : "bind is none");
  add("spawn", true,
      settings.exec_each != 0 ? "by exec: exec_each_worker is true"
      : warden_threads > 1
          ? fmt::format("by exec: static initialisers of this program started threads ({})",
                        warden_threads - 1)
          : "by fork of the warden");
  return result;
}

}  // namespace reeve::detail
