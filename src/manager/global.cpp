// The program's own manager: made when it is first wanted, never destroyed, another one in a child
// of a fork().
#include <pthread.h>

#include <atomic>
#include <mutex>
#include <reeve/manager/pool_manager.hpp>
#include <vector>

namespace reeve {
namespace {

struct Place {
  std::mutex mutex;
  std::unique_ptr<PoolManager> current;
  std::vector<std::unique_ptr<PoolManager>> past;  // shut down; references to them stay good
  Place* inherited = nullptr;                      // the parent's, left alone
};

constinit std::atomic<Place*> place{nullptr};
constinit Place* inherited = nullptr;

void leave_to_parent() noexcept {
  if (Place* old = place.exchange(nullptr)) {
    old->inherited = inherited;
    inherited = old;
  }
}

Place& place_of_this_process() {
  static const int registered = pthread_atfork(nullptr, nullptr, leave_to_parent);
  (void)registered;
  Place* found = place.load(std::memory_order_acquire);
  if (found != nullptr) return *found;
  auto fresh = std::make_unique<Place>();
  if (place.compare_exchange_strong(found, fresh.get(), std::memory_order_acq_rel)) {
    return *fresh.release();
  }
  return *found;
}

}  // namespace

PoolManager& global_pool_manager() {
  Place& here = place_of_this_process();
  const std::lock_guard lock(here.mutex);
  if (!here.current) here.current = std::make_unique<PoolManager>();
  return *here.current;
}

void shutdown_global_pool_manager(bool force) {
  PoolManager* last = nullptr;
  {
    Place& here = place_of_this_process();
    const std::lock_guard lock(here.mutex);
    if (!here.current) return;
    last = here.current.get();
    here.past.push_back(std::move(here.current));
  }
  last->shutdown(force);
}

}  // namespace reeve
