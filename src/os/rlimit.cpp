// prlimit, capset and oom_score_adj without libraries and without the heap.
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <reeve/os/fd.hpp>
#include <reeve/os/rlimit.hpp>

namespace reeve::os {
namespace {

__rlimit_resource native(Resource resource) noexcept {
  switch (resource) {
    case Resource::data:
      return RLIMIT_DATA;
    case Resource::address_space:
      return RLIMIT_AS;
    case Resource::stack:
      return RLIMIT_STACK;
    case Resource::core:
      return RLIMIT_CORE;
    case Resource::open_files:
      return RLIMIT_NOFILE;
    case Resource::processes:
      return RLIMIT_NPROC;
    case Resource::cpu_seconds:
      return RLIMIT_CPU;
    case Resource::file_size:
      return RLIMIT_FSIZE;
    case Resource::locked_memory:
      return RLIMIT_MEMLOCK;
  }
  return RLIMIT_DATA;
}

static_assert(RLIM_INFINITY == unlimited);

}  // namespace

LimitResult get_limit(Resource resource, pid_t pid) noexcept {
  rlimit limit{};
  if (::prlimit(pid, native(resource), nullptr, &limit) != 0) return {errno, {}};
  return {0, {limit.rlim_cur, limit.rlim_max}};
}

int set_limit(Resource resource, Limit limit, pid_t pid) noexcept {
  const rlimit wanted{limit.soft, limit.hard};
  return ::prlimit(pid, native(resource), &wanted, nullptr) == 0 ? 0 : errno;
}

LimitResult raise_open_files() noexcept {
  LimitResult now = get_limit(Resource::open_files);
  if (now.error != 0 || now.limit.soft == now.limit.hard) return now;
  now.error = set_limit(Resource::open_files, {now.limit.hard, now.limit.hard});
  if (now.error == 0) now.limit.soft = now.limit.hard;
  return now;
}

int drop_capabilities() noexcept {
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 && errno != EINVAL) {
    return errno;
  }
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  const __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
  return ::syscall(SYS_capset, &header, none) == 0 ? 0 : errno;
}

std::uint64_t effective_capabilities() noexcept {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  if (::syscall(SYS_capget, &header, data) != 0) return 0;
  return data[0].effective | static_cast<std::uint64_t>(data[1].effective) << 32;
}

int set_no_new_privileges() noexcept {
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? 0 : errno;
}

int set_oom_score_adj(int score, pid_t pid, const char* proc_root) noexcept {
  if (score < -1000 || score > 1000) return EINVAL;
  char path[512];
  const int length = pid == 0 ? std::snprintf(path, sizeof path, "%s/self/oom_score_adj", proc_root)
                              : std::snprintf(path, sizeof path, "%s/%d/oom_score_adj", proc_root,
                                              static_cast<int>(pid));
  if (length < 0 || static_cast<std::size_t>(length) >= sizeof path) return ENAMETOOLONG;
  const UniqueFd fd{::open(path, O_WRONLY | O_CLOEXEC)};
  if (!fd) return errno;
  char text[16];
  const int size = std::snprintf(text, sizeof text, "%d", score);
  return ::write(fd.get(), text, static_cast<std::size_t>(size)) == size ? 0 : errno;
}

}  // namespace reeve::os
