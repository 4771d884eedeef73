// What the tests of the allocator ask for, in few letters.
#pragma once

#include "reeve/alloc/model.hpp"

namespace reeve::alloc {

inline Amounts cores(std::int64_t n) {
  return Amounts::of(0, n);
}

inline Request want(const Amounts& amount, std::int32_t priority = 0, Time duration = forever) {
  return {.gang = {{.amount = amount}}, .priority = priority, .duration = duration};
}

inline Request want(std::int64_t n, std::int32_t priority = 0, Time duration = forever) {
  return want(cores(n), priority, duration);
}

inline Request want(std::int64_t n, std::int32_t priority, QuotaId quota) {
  Request request = want(n, priority);
  request.quota = quota;
  return request;
}

}  // namespace reeve::alloc
