// Tells pools that their execution context is being destroyed, while its services still exist.
#pragma once

#include <boost/asio/execution_context.hpp>
#include <memory>
#include <mutex>
#include <vector>

#include "pool/core.hpp"

namespace reeve::detail {

class ContextWatch : public boost::asio::execution_context::service {
 public:
  using key_type = ContextWatch;
  static inline boost::asio::execution_context::id id;

  explicit ContextWatch(boost::asio::execution_context& context) : service(context) {}

  void add(std::weak_ptr<Core> core) {
    const std::lock_guard lock(mutex_);
    std::erase_if(cores_, [](const auto& old) { return old.expired(); });
    cores_.push_back(std::move(core));
  }

 private:
  void shutdown() noexcept override {
    for (const auto& weak : cores_) {
      if (const auto core = weak.lock()) core->context_gone();
    }
  }

  std::mutex mutex_;
  std::vector<std::weak_ptr<Core>> cores_;
};

}  // namespace reeve::detail
