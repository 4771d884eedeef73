// One answer per idempotency key.
#pragma once

#include "reeve/alloc/reservation_manager.hpp"

namespace reeve::alloc {

namespace detail {

inline constexpr std::uint64_t digest_start = 14695981039346656037ULL;

inline std::uint64_t mix(std::uint64_t h, std::uint64_t v) {
  return (h ^ v) * 1099511628211ULL;
}

inline std::uint64_t mix(std::uint64_t h, ReservationId id) {
  return mix(mix(h, id.slot), id.generation);
}

/// Distinguishes requests under one key. What only says who evicted whom (identity) is left out.
std::uint64_t digest_of(std::string_view requester, const Request& request);

}  // namespace detail

/// Runs `verb` unless `key` has an answer already; only success is an answer.
template <class T, class Verb>
Result<T> ReservationManager::once(std::string_view key, std::uint64_t digest, Verb verb) {
  if (key.empty()) return verb();
  std::string name(key);
  if (const auto at = keys_.find(name); at != keys_.end()) {
    if (at->second.digest != digest)
      return Refusal{.code = Code::key_conflict, .subject = std::move(name)};
    if constexpr (std::is_void_v<T>) {
      return {};
    } else {
      return std::get<T>(at->second.answer);
    }
  }
  Result<T> result = verb();
  if (!result) return result;
  Known known{digest, {}};
  if constexpr (!std::is_void_v<T>) known.answer = *result;
  keys_.emplace(name, std::move(known));
  key_order_.push_back(std::move(name));
  if (key_order_.size() > options_.remembered) {
    keys_.erase(key_order_.front());
    key_order_.pop_front();
  }
  return result;
}

}  // namespace reeve::alloc
