// What others than its holder may do with a lease.
#include <boost/asio/post.hpp>

#include "pool/core.hpp"

namespace reeve::detail {

using process::LeaseWord;

// A slot's serial grows with each lease, so a key of an older one finds nothing.
Lease* Core::lease_of(LeaseKey key) noexcept {
  if (detached_ || key.slot >= slots_.size()) return nullptr;
  Lease* const lease = slots_[key.slot].lease;
  return lease != nullptr && lease->serial == key.serial ? lease : nullptr;
}

bool Core::observe(Lease& lease, std::shared_ptr<LeaseObserver> observer, std::uint64_t token) {
  const std::lock_guard lock(mutex_);
  if (lease.failure != nullptr || detached_) return false;
  lease.observer.swap(observer);  // the old one ends after the lock
  lease.observer_token = token;
  return true;
}

namespace {

/// Tells where it is called, or, in a context that ends before, where it is destroyed.
class Teller {
 public:
  Teller(std::shared_ptr<LeaseObserver> observer, std::uint64_t token) noexcept
      : observer_(std::move(observer)), token_(token) {}
  Teller(Teller&&) noexcept = default;
  ~Teller() { (*this)(); }
  void operator()() noexcept {
    if (const auto observer = std::move(observer_)) observer->on_lease_ended(token_);
  }

 private:
  std::shared_ptr<LeaseObserver> observer_;
  std::uint64_t token_;
};

}  // namespace

// Not under the lock, and not on the stack of whoever revokes: the observer may call the pool.
void Core::tell_revoked(Lease& lease) noexcept {
  if (lease.observer == nullptr) return;
  boost::asio::post(executor_, Teller(std::move(lease.observer), lease.observer_token));
}

bool Core::request_stop(LeaseKey key) {
  const std::lock_guard lock(mutex_);
  Lease* const lease = lease_of(key);
  if (lease == nullptr) return false;
  lease->stop_asked = true;
  Slot& slot = slots_[key.slot];
  if (lease->calling && lease->submitted && slot.state == WorkerState::leased) {
    slot.port->request_stop();
  }
  return true;
}

bool Core::preempt(LeaseKey key, std::string_view by, std::string_view reason) {
  const std::lock_guard lock(mutex_);
  Lease* const lease = lease_of(key);
  if (lease == nullptr) return false;
  Slot& slot = slots_[key.slot];
  std::uint64_t word = slot.cell->word.load(std::memory_order_relaxed);
  if (LeaseWord(word).cause() != Cause::active ||
      !slot.cell->word.compare_exchange_strong(word,
                                               LeaseWord(word).with(Cause::cancelled).bits())) {
    return false;  // the warden has decided already; its cause will arrive
  }
  auto evidence = std::make_shared<Evidence>();
  evidence->elapsed = std::chrono::nanoseconds(now_ns() - lease->granted_at);
  evidence->time_limit = std::chrono::nanoseconds(lease->deadline - lease->granted_at);
  evidence->pid = slot.pid;
  evidence->mechanism = "preemption";
  backend_->kill(key.slot, slot.incarnation, Cause::cancelled);
  revoke(key.slot, Cause::cancelled, std::move(evidence), std::string(reason),
         by.empty() ? "another requester" : by);
  return true;
}

}  // namespace reeve::detail
