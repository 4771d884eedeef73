// The pools of this process that have a scheduler.
#include "bridge/sole_user.hpp"

#include <unistd.h>

#include <mutex>
#include <set>
#include <utility>

namespace reeve::bridge::detail {

namespace {

struct Served {
  std::mutex mutex;
  std::set<std::pair<pid_t, const void*>> pools;  // a child of fork() knows its parent's too
};

// Never destroyed: schedulers may be as static as it is.
Served& served() {
  static Served& all = *new Served;
  return all;
}

}  // namespace

SoleUser::SoleUser(const ResourcePool& pool) : pool_(&pool.config()), pid_(::getpid()) {
  const std::lock_guard lock(served().mutex);
  if (!served().pools.emplace(pid_, pool_).second) {
    throw ConfigError(
        "this pool has a WorkerScheduler already, and each counts on being its only user; copy "
        "that one (copies share it), let it go first, or give this one a pool of its own");
  }
}

SoleUser::~SoleUser() {
  if (::getpid() != pid_) return;  // the mutex may be held by a thread of the parent
  const std::lock_guard lock(served().mutex);
  served().pools.erase({pid_, pool_});
}

}  // namespace reeve::bridge::detail
