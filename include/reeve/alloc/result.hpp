// Result<T>: a value, or a refusal that names what binds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "reeve/base/error.hpp"

namespace reeve::alloc {

/// An instant or a length in ticks; it has no unit and no epoch of its own.
///
/// ReservationManager and what is built on it (ResourceAllocator, ElasticPool, the bridge): ns of
/// the manager's Clock, that is of std::chrono::steady_clock unless another is given. That is no
/// calendar time: time(nullptr) means nothing there. Write `manager.now() + ticks(1h)`.
/// Simulator and swf.hpp: microseconds of the log. Timeline: whatever the caller counts in.
using Time = std::int64_t;

/// "Until released": the end of a window that has no end.
inline constexpr Time forever = INT64_MAX;

/// Why a verb was refused.
enum class Code : std::uint8_t {
  invalid_amount,       ///< zero, negative or malformed
  inexact_amount,       ///< not a whole number of canonical units
  overflow,             ///< does not fit 64 bits
  unknown_unit,         ///< no such unit
  unit_mismatch,        ///< the unit measures something else
  unknown_dimension,    ///< no resource counts this
  invalid_constraint,   ///< the constraint itself makes no sense
  invalid_request,      ///< empty gang, negative count or duration, ...
  unmet_constraint,     ///< no resource satisfies `subject`
  infeasible,           ///< never, whatever is released: capacity itself is too small
  busy,                 ///< later: `earliest` says when, if it is known
  quota_exceeded,       ///< quota node `subject` has too little available
  affinity,             ///< affinity, anti-affinity or spread leaves no place
  unknown_resource,     ///< no such resource
  duplicate,            ///< that name is taken
  in_use,               ///< live reservations still hold it
  unknown_reservation,  ///< this id was never given out
  wrong_state,          ///< the verb does not apply to the state in `subject`
  expired,              ///< the time to live is over
  not_held,             ///< more given back than held
  key_conflict,         ///< the idempotency key belongs to a different request
  unknown_quota,        ///< no such quota node
  cyclic_quota,         ///< a quota node would be its own ancestor
  stale_plan,           ///< the ledger changed since the plan was made
  malformed,            ///< a line of input that cannot be read
};

/// The enumerator's name: "quota_exceeded".
const char* to_string(Code) noexcept;

/// What the figures of a refusal count; the sentence says it.
enum class Counted : std::uint8_t {
  number,           ///< just a number
  millicores,       ///< canonical units of UnitFamily::cores
  bytes,            ///< canonical units of UnitFamily::bytes
  bits_per_second,  ///< canonical units of UnitFamily::bandwidth
  milligpus,        ///< canonical units of UnitFamily::gpus
  items,            ///< canonical units of UnitFamily::items
  nanoseconds,      ///< ticks of a ReservationManager
};

/// The enumerator's name: "milligpus".
const char* to_string(Counted) noexcept;

/// "1.5 gpu" of 1500 milligpus, "50 GB", "3600 s", "open-ended" of `forever` nanoseconds. Exact but
/// for times, which are cut to ms from 1 s on.
std::string to_text(std::int64_t value, Counted counted);

/// "#7": how a refusal names what has no name.
inline std::string numbered(std::uint64_t n) {
  return std::string(1, '#').append(std::to_string(n));
}

/// A typed "no" with its evidence; only the fields that the code uses are set.
struct Refusal {
  Code code = Code::invalid_request;
  std::string subject;         ///< name of the dimension, capability, resource, quota node or field
  std::int64_t asked = 0;      ///< in `counted`
  std::int64_t available = 0;  ///< in `counted`
  std::optional<Time> earliest{};
  Counted counted = Counted::number;
  Time ahead = 0;        ///< the window asked for begins so much later than now
  std::string detail{};  ///< more words of the sentence: a dimension, who is in the way, a remedy

  /// A sentence: what was refused, on which evidence, and what to do.
  std::string why() const;

  friend bool operator==(const Refusal&, const Refusal&) = default;
};

/// Thrown by Result::value() on a refusal.
class RefusedError : public Error {
 public:
  explicit RefusedError(Refusal refusal) : Error(refusal.why()), refusal_(std::move(refusal)) {}
  const Refusal& refusal() const noexcept { return refusal_; }

 private:
  Refusal refusal_;
};

/// A value or a Refusal (std::expected is C++23).
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Refusal refusal) : state_(std::in_place_index<1>, std::move(refusal)) {}

  explicit operator bool() const noexcept { return state_.index() == 0; }
  bool has_value() const noexcept { return state_.index() == 0; }

  /// Errors: RefusedError when there is no value.
  T& value() & {
    if (!*this) throw RefusedError(std::get<1>(state_));
    return std::get<0>(state_);
  }
  const T& value() const& { return const_cast<Result&>(*this).value(); }
  T value() && { return std::move(static_cast<Result&>(*this).value()); }

  /// Preconditions: there is a value.
  T& operator*() & { return *std::get_if<0>(&state_); }
  const T& operator*() const& { return *std::get_if<0>(&state_); }
  T* operator->() { return std::get_if<0>(&state_); }
  const T* operator->() const { return std::get_if<0>(&state_); }

  /// Preconditions: there is no value.
  const Refusal& refusal() const { return *std::get_if<1>(&state_); }

 private:
  std::variant<T, Refusal> state_;
};

/// Success without a value, or a Refusal.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Refusal refusal) : refusal_(std::move(refusal)) {}

  explicit operator bool() const noexcept { return !refusal_; }
  bool has_value() const noexcept { return !refusal_; }
  void value() const {
    if (refusal_) throw RefusedError(*refusal_);
  }
  const Refusal& refusal() const { return *refusal_; }

 private:
  std::optional<Refusal> refusal_;
};

}  // namespace reeve::alloc
