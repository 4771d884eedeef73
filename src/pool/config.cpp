// find_fault: every limit has a range, and every text a remedy.
#include <reeve/pool/config.hpp>

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <type_traits>

#include "pool/board.hpp"
#include "pool/mechanisms.hpp"
#include "process/protocol.hpp"

namespace reeve {
namespace {

using Fault = std::optional<std::string>;

// A negative number that was given to an unsigned field is shown as it was meant, too.
std::string count_text(std::size_t count) {
  const auto meant = static_cast<std::make_signed_t<std::size_t>>(count);
  return meant < 0 ? fmt::format("{} ({} as a signed number)", count, meant)
                   : fmt::format("{}", count);
}

Fault find_size_fault(const ResourceConfig& config) {
  if (config.max_workers < 1 || config.max_workers > 4096) {
    return fmt::format("max_workers is {}; a pool has 1 to 4096 workers, so {}",
                       count_text(config.max_workers),
                       config.max_workers < 1 ? "give it 1 or more" : "lower it");
  }
  if (config.min_workers > config.max_workers) {
    return fmt::format("min_workers is {}, above max_workers = {}; lower it",
                       count_text(config.min_workers), config.max_workers);
  }
  const std::size_t spare = detail::Board::capacity - config.max_workers;
  if (config.quarantine_max > spare) {
    return fmt::format("quarantine_max is {}; beside {} workers it must be 0 to {}",
                       config.quarantine_max, config.max_workers, spare);
  }
  if (config.waiter_count_max < 1)
    return "waiter_count_max is 0, so nobody could ever wait; give it 1 or more";
  if (config.devices.empty()) return "devices is empty; name at least one, such as \"cpu\"";
  for (const std::string& device : config.devices) {
    const bool known =
        device == "cpu" || (device.starts_with("cuda:") && device.size() > 5 && device.size() < 9 &&
                            std::all_of(device.begin() + 5, device.end(),
                                        [](char c) { return c >= '0' && c <= '9'; }));
    if (!known) return fmt::format("device '{}' is unknown; use \"cpu\" or \"cuda:N\"", device);
  }
  return {};
}

Fault find_time_fault(const ResourceConfig& config) {
  constexpr std::chrono::milliseconds longest = std::chrono::hours(24 * 366);
  const auto check = [&](const char* name, std::chrono::milliseconds value,
                         bool required) -> Fault {
    if (value.count() < 0 || value > longest || (required && value.count() == 0)) {
      return fmt::format("{} is {} ms; it must be {} and at most a year", name, value.count(),
                         required ? "above zero" : "zero (off) or more");
    }
    return {};
  };
  if (auto fault = check("worker_timeout", config.worker_timeout, true)) return fault;
  if (auto fault = check("acquire_timeout", config.acquire_timeout, true)) return fault;
  if (auto fault = check("idle_timeout", config.idle_timeout, false)) return fault;
  if (config.spin_time.count() < 0 || config.spin_time.count() > 1000) {
    return fmt::format("spin_time is {} us; it must be 0 (off) to 1000", config.spin_time.count());
  }
  return check("recycle.age_max", config.recycle.age_max, false);
}

Fault find_memory_fault(const ResourceConfig& config) {
  const bool own_process = config.isolation == Isolation::process;
  const ByteSize least = detail::least_worker_memory();
  if (!own_process && config.worker_memory == 0_B) {
    return "worker_memory is 0 B; give a thread worker what it may take from its memory resource";
  }
  if (own_process && config.worker_memory <= least) {
    return fmt::format(
        "worker_memory is {}, but an empty worker of this program takes up to {} already; give it "
        "more, for instance {}",
        to_string(config.worker_memory), to_string(least), to_string(least + 64_MiB));
  }
  if (config.message_max < 64_KiB || config.message_max > ByteSize{std::uint64_t{1} << 40}) {
    return fmt::format("message_max is {}; it must be from 64 KiB to 1 TiB",
                       to_string(config.message_max));
  }
  return {};
}

// What the worker's chdir would say later, said before anything is started.
Fault find_directory_fault(const std::string& path) {
  if (path.empty()) return {};
  if (path.find('\0') != std::string::npos) {
    return fmt::format("working_directory '{}' has a null byte at {}; give the path without it",
                       std::string_view(path.c_str()), path.find('\0'));
  }
  struct stat file{};
  const int found = stat(path.c_str(), &file);
  const char* why = found != 0                        ? std::strerror(errno)
                    : !S_ISDIR(file.st_mode)          ? "it is no directory"
                    : access(path.c_str(), X_OK) != 0 ? "it may not be entered"
                                                      : nullptr;
  if (why == nullptr) return {};
  return fmt::format(
      "working_directory '{}' cannot be used: {}; make it first, or leave it empty for the "
      "program's own",
      path, why);
}

// Descriptors and processes that the limits of this program leave.
Fault find_rlimit_fault(const ResourceConfig& config) {
  const std::size_t slots = config.max_workers + config.quarantine_max;
  const std::size_t warden_files = process::own_fds_from + 64 + 5 * slots;
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  if (files.rlim_max < warden_files) {
    return fmt::format(
        "{} workers need {} file descriptors in their warden, but the hard RLIMIT_NOFILE is {}; "
        "raise the hard limit (ulimit -Hn {}, as root) or lower max_workers",
        config.max_workers, warden_files, files.rlim_max, warden_files);
  }
  if (files.rlim_cur < 2 * slots + 64) {
    return fmt::format(
        "{} workers need {} file descriptors here, but RLIMIT_NOFILE is {}; raise it (ulimit -n "
        "{}) or lower max_workers",
        config.max_workers, 2 * slots + 64, files.rlim_cur, 2 * slots + 64);
  }
  rlimit processes{};
  getrlimit(RLIMIT_NPROC, &processes);
  if (processes.rlim_cur != RLIM_INFINITY && processes.rlim_cur < slots + 8) {
    return fmt::format(
        "{} workers need {} processes, beside what this user runs already, but RLIMIT_NPROC = {}; "
        "raise it (ulimit -u {} or more) or lower max_workers",
        config.max_workers, slots + 8, processes.rlim_cur, slots + 8);
  }
  return {};
}

// They travel to every worker as the arguments of one call.
Fault find_initializer_fault(const ResourceConfig& config) {
  if (!config.initializer || config.isolation == Isolation::thread) return {};
  const std::size_t size = config.initializer.call()->arguments.bytes().size();
  if (size <= config.message_max.bytes() / 4096 * 4096) return {};  // whole pages, as channels
  return fmt::format(
      "the arguments of the initializer take {}, but message_max is {}; raise that limit, or pass "
      "less, for instance the name of a file",
      to_string(ByteSize{size}), to_string(config.message_max));
}

Fault find_process_fault(const ResourceConfig& config) {
  if (config.nice < 0 || config.nice > 19)
    return fmt::format("nice is {}; it must be 0 to 19", config.nice);
  if (config.file_mask && *config.file_mask > 0777) {
    return fmt::format("file_mask is {:o}; a umask is 0 to 0777", *config.file_mask);
  }
  for (const auto& [name, value] : config.environment) {
    if (name.empty() || name.size() > 255 || name.find('=') != std::string::npos ||
        name.find('\0') != std::string::npos || value.find('\0') != std::string::npos) {
      return fmt::format(
          "environment variable '{}' cannot be set; a name has 1 to 255 bytes without '='", name);
    }
  }
  if (config.isolation == Isolation::thread) return {};
  if (auto fault = find_directory_fault(config.working_directory)) return fault;
  return find_rlimit_fault(config);
}

}  // namespace

std::optional<std::string> find_fault(const ResourceConfig& config) {
  for (const auto check : {find_size_fault, find_time_fault, find_memory_fault,
                           find_initializer_fault, find_process_fault}) {
    if (auto fault = check(config)) return fault;
  }
  return std::nullopt;
}

}  // namespace reeve
