// One lazily armed timer. It belongs to its own handler, so that it ends with the context.
#include <boost/asio/post.hpp>

#include <algorithm>

#include "bridge/state.hpp"

namespace reeve::bridge::detail {

// Something is due at `when`. The timer is moved only if it would ring later.
void State::need_alarm(Time when) {
  if (when >= alarm_at_ || pool_.health() == PoolHealth::closed) return;
  alarm_at_ = when;
  if (std::exchange(alarm_posted_, true)) return;
  boost::asio::post(executor_, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) {
      const std::lock_guard lock(self->mutex_);
      self->alarm_posted_ = false;
      self->arm();
    }
  });
}

void State::arm() {
  if (alarm_at_ == alloc::forever) return;
  if (const auto old = alarm_.lock()) old->cancel();
  const auto timer = std::make_shared<boost::asio::steady_timer>(executor_);
  constexpr Time longest = 3600'000'000'000;
  timer->expires_after(
      std::chrono::nanoseconds(std::clamp<Time>(alarm_at_ - books_.now(), 0, longest)));
  timer->async_wait([weak = weak_from_this(), timer, quiet = quiet_,
                     number = ++alarm_number_](const boost::system::error_code& error) {
    quiet.resumed();
    const auto self = weak.lock();
    if (!self || error) return;
    {
      const std::lock_guard lock(self->mutex_);
      if (number != self->alarm_number_) return;
      self->alarm_at_ = alloc::forever;
    }
    self->poll();
  });
  quiet_.started();
  alarm_ = timer;
}

}  // namespace reeve::bridge::detail
