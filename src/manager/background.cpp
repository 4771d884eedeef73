// The manager's thread.
#include "manager/background.hpp"

#include <pthread.h>
#include <signal.h>

namespace reeve::detail {

namespace asio = boost::asio;

namespace {

std::atomic<unsigned> generation{0};

void run(const std::shared_ptr<asio::io_context>& context) noexcept {
  pthread_setname_np(pthread_self(), "reeve-manager");
  context->run();
}

}  // namespace

// Without a lock: another thread could have held it when a further child was forked.
void keep(std::shared_ptr<void> value) {
  struct Kept {
    std::shared_ptr<void> value;
    Kept* next;
  };
  static constinit std::atomic<Kept*> all{nullptr};
  auto* const fresh = new Kept{std::move(value), all.load(std::memory_order_relaxed)};
  while (!all.compare_exchange_weak(fresh->next, fresh, std::memory_order_release,
                                    std::memory_order_relaxed)) {
  }
}

unsigned fork_generation() noexcept {
  static const int registered = pthread_atfork(nullptr, nullptr, [] { ++generation; });
  (void)registered;
  return generation.load(std::memory_order_relaxed);
}

Background::Background()
    : generation_(fork_generation()),
      context_(std::make_shared<asio::io_context>(1)),
      guard_(asio::make_work_guard(*context_)),
      alarm_(std::make_shared<asio::steady_timer>(*context_)) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    thread_ = std::thread([context = context_] { run(context); });
  } catch (...) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Background::~Background() {
  if (fork_generation() != generation_) {
    keep_for_ever(std::move(alarm_));
    keep_for_ever(std::move(guard_));
    keep_for_ever(std::move(context_));
    keep_for_ever(std::move(thread_));
    return;
  }
  context_->stop();
  if (is_here()) {
    thread_.detach();
  } else {
    thread_.join();
  }
}

}  // namespace reeve::detail
