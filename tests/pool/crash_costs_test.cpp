// What crashes cost: nothing that stays. Real processes; the counts are exact, memory has its
// bound.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/pool/pool_test_support.hpp"

namespace reeve::test {
namespace {

void call_abort() {
  std::abort();
}

std::size_t entries(const std::string& path) {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(path)) ++count;
  return count;
}

/// The groups of this program's pools, one for each pool and one for each living worker.
std::size_t groups() {
  std::ifstream mounts("/proc/mounts");
  std::size_t count = 0;
  for (std::string device, place, kind, rest; mounts >> device >> place >> kind;) {
    std::getline(mounts, rest);
    if (kind != "cgroup2") continue;
    const std::string own = "/reeve-pool-" + std::to_string(getpid()) + "-";
    std::error_code gone;
    for (std::filesystem::recursive_directory_iterator at(place, gone), last; at != last;
         at.increment(gone)) {
      count += at->is_directory(gone) && at->path().native().find(own) != std::string::npos;
    }
  }
  return count;
}

struct Belongings {
  std::size_t files, warden_files, threads, children_of_warden, groups;
  std::uint64_t resident;
  bool operator==(const Belongings&) const = default;
};

int warden_pid() {
  return getppid();
}

std::uint64_t resident_of(int pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/statm");
  std::uint64_t pages = 0;
  file >> pages >> pages;
  return pages * 4096;
}

Belongings belongings(int warden) {
  const std::string proc = "/proc/" + std::to_string(warden);
  std::ifstream children(proc + "/task/" + std::to_string(warden) + "/children");
  const std::vector<int> pids{std::istream_iterator<int>(children), {}};
  return {entries("/proc/self/fd"),
          entries(proc + "/fd"),
          entries("/proc/self/task"),
          pids.size(),
          groups(),
          resident_of(getpid()) + resident_of(warden)};
}

// The warden opens a worker's two files when it first looks at it, which is soon after the lease
// began.
bool has_looked(int warden) {
  const std::filesystem::path files = "/proc/" + std::to_string(warden) + "/fd";
  int open = 0;
  for (const auto& entry : std::filesystem::directory_iterator(files)) {
    std::error_code gone;
    const auto name = std::filesystem::read_symlink(entry.path(), gone).filename();
    open += name == "children" || name == "statm";
  }
  return open == 2;
}

void crash_many_times(int count, bool use_cgroup = false) {
  asio::io_context context;
  ResourceConfig config = small_config();
  config.max_workers = 1;
  config.use_cgroup = use_cgroup;
  ResourcePool pool(context.get_executor(), config);
  if (use_cgroup && !pool.capabilities().has("cgroup_kill")) {
    GTEST_SKIP() << "no groups can be made here:\n" << to_string(pool.capabilities());
  }
  const int warden = run_in(context, call_once<&warden_pid>(pool, "who"));
  const auto settled = [&] { return pool.status().available_workers == 1; };
  const auto crash_some = [&](int times) {
    for (int i = 0; i < times; ++i) {
      EXPECT_TRUE(error_of<WorkerCrashedError>(context, call_once<&call_abort>(pool, "crash")));
    }
    auto lease = run_in(context, hold(pool, "who"));
    EXPECT_EQ(run_in(context, lease->run<&warden_pid>()), warden);
    EXPECT_TRUE(run_until(context, [&] { return has_looked(warden); }));
    lease.reset();
    EXPECT_TRUE(run_until(context, settled));
  };
  crash_some(20);  // buffers find their size
  const Belongings before = belongings(warden);
  crash_some(count);
  const Belongings after = belongings(warden);
  EXPECT_EQ(after.files, before.files);
  EXPECT_EQ(after.warden_files, before.warden_files);
  EXPECT_EQ(after.threads, before.threads);
  EXPECT_EQ(after.children_of_warden, before.children_of_warden);
  EXPECT_EQ(before.groups, use_cgroup ? 2u : 0u) << "the pool's and the worker's";
  EXPECT_EQ(after.groups, before.groups);
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "the program has children";
  const std::uint64_t allowance = sanitized ? 64u << 20 : 1u << 20;
  EXPECT_LE(after.resident, before.resident + allowance);
}

// 12: crashes leave nothing behind, neither here nor in the warden nor in the kernel's groups.
TEST(CrashCosts, one_hundred_crashes_leave_nothing_behind) {
  crash_many_times(100);
}
TEST(CrashCosts, one_hundred_crashes_in_groups_leave_nothing_behind) {
  crash_many_times(100, true);
}
TEST(CrashCostsFull, one_thousand_crashes_leave_nothing_behind) {
  crash_many_times(1000);
}
TEST(CrashCostsFull, one_thousand_crashes_in_groups_leave_nothing_behind) {
  crash_many_times(1000, true);
}

}  // namespace
}  // namespace reeve::test
