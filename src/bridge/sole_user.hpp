// Which pools have a scheduler: each of two would count on workers that the other leases.
#pragma once

#include <sys/types.h>
#include <reeve/pool/resource_pool.hpp>

namespace reeve::bridge::detail {

/// As long as it lives, no other is made for the same pool.
///
/// Preconditions: the pool lives longer.
/// Threads:       any.
class SoleUser {
 public:
  /// Errors: ConfigError where there is one already.
  explicit SoleUser(const ResourcePool& pool);
  SoleUser(const SoleUser&) = delete;
  ~SoleUser();

 private:
  const void* pool_;  // its configuration, which copies of the handle share
  pid_t pid_;
};

}  // namespace reeve::bridge::detail
