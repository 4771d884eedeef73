// A worker's start: it takes leave of everything it inherited, then serves.
#include "process/worker.hpp"

#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <reeve/os/proc.hpp>

#include "process/protocol.hpp"
#include "process/worker_loop.hpp"

namespace reeve::process {
namespace {

std::uint32_t own_depth = 0;

// The warden has emptied the bounding set already.
void drop_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2] = {};
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  syscall(SYS_capset, &header, none);
}

// "cwd\0NAME=VALUE\0...": a directory that cannot be entered ends the worker, with a reason on
// stderr.
void apply_text(const char* text, std::size_t size) {
  if (size == 0) return;
  if (text[0] != '\0' && chdir(text) != 0) {
    std::fprintf(stderr, "reeve-worker: cannot enter the working directory '%s'\n", text);
    _exit(124);
  }
  for (std::size_t at = std::strlen(text) + 1; at < size; at += std::strlen(text + at) + 1) {
    const char* equals = std::strchr(text + at, '=');
    if (equals == nullptr) continue;
    char name[256];
    const auto length = static_cast<std::size_t>(equals - (text + at));
    if (length >= sizeof name) continue;
    std::memcpy(name, text + at, length);
    name[length] = '\0';
    setenv(name, equals + 1, 1);
  }
}

// A limit that whoever started the program has set lower stays.
void limit_data(const WorkerSettings& settings) {
  rlimit data{};
  getrlimit(RLIMIT_DATA, &data);
  data.rlim_max = std::min<rlim_t>(data.rlim_max, settings.data_limit + settings.data_reserve);
  data.rlim_cur = std::min<rlim_t>(data.rlim_cur, settings.data_limit);
  if (setrlimit(RLIMIT_DATA, &data) == 0) return;
  std::fprintf(stderr, "reeve-worker: cannot set RLIMIT_DATA: %s\n", std::strerror(errno));
  _exit(124);
}

[[noreturn]] void serve(const WorkerSettings& settings, std::uint64_t data_bytes) {
  for (const int fd : {worker_channel_fd, worker_bell_fd}) {
    fcntl(fd, F_SETFD, FD_CLOEXEC);
  }
  void* channel = mmap(nullptr, settings.channel_bytes, PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_NORESERVE, worker_channel_fd, 0);
  void* hub = mmap(nullptr, sizeof(HubPage), PROT_READ, MAP_SHARED, worker_hub_fd, 0);
  const int cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (channel == MAP_FAILED || hub == MAP_FAILED) {
    std::fprintf(stderr, "reeve-worker: cannot map its channel of %llu bytes: %s\n",
                 static_cast<unsigned long long>(settings.channel_bytes), std::strerror(errno));
    _exit(lost_descriptors_status);
  }
  close(worker_hub_fd);  // mapped for good
  if (cwd >= 0 && dup3(cwd, worker_cwd_fd, O_CLOEXEC) >= 0) close(cwd);
  if (settings.data_limit != 0) limit_data(settings);
  own_depth = settings.depth;
  if (settings.drop_capabilities != 0) drop_capabilities();
  WorkerLoop loop(*static_cast<ChannelHeader*>(channel), *static_cast<const HubPage*>(hub),
                  settings, data_bytes);
  loop.run();
}

}  // namespace

std::uint32_t nesting_depth() noexcept {
  return own_depth;
}

void enter_worker(const WorkerSettings& settings, const char* text, std::uint64_t data_bytes) {
  prctl(PR_SET_NAME, worker_name);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  setsid();
  prctl(PR_SET_CHILD_SUBREAPER, 1);  // what it leaves behind stays below it and is found
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  if (settings.file_mask >= 0) umask(static_cast<mode_t>(settings.file_mask));
  if (settings.nice != 0) setpriority(PRIO_PROCESS, 0, settings.nice);
  apply_text(text, settings.text_bytes);
  if (settings.exec_each != 0) {
    char* arguments[] = {const_cast<char*>(worker_name), nullptr};
    execv("/proc/self/exe", arguments);
    std::fprintf(stderr, "reeve-worker: cannot execute the program again: %s\n",
                 std::strerror(errno));
    _exit(126);
  }
  serve(settings, data_bytes);
}

void enter_executed_worker() {
  void* page = mmap(nullptr, channel_header_bytes, PROT_READ, MAP_SHARED, worker_channel_fd, 0);
  if (page == MAP_FAILED) {
    static const char text[] =
        "reeve-worker: this name is reserved for a process that reeve starts itself\n";
    [[maybe_unused]] const auto n = write(2, text, sizeof text - 1);
    _exit(120);
  }
  const WorkerSettings settings = static_cast<const ChannelHeader*>(page)->settings;
  munmap(page, channel_header_bytes);
  serve(settings, os::vm_data_self());
}

}  // namespace reeve::process
