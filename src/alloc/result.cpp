// The sentences behind a refusal.
#include "reeve/alloc/result.hpp"

#include <span>

namespace reeve::alloc {

const char* to_string(Code code) noexcept {
  switch (code) {
    case Code::invalid_amount:
      return "invalid_amount";
    case Code::inexact_amount:
      return "inexact_amount";
    case Code::overflow:
      return "overflow";
    case Code::unknown_unit:
      return "unknown_unit";
    case Code::unit_mismatch:
      return "unit_mismatch";
    case Code::unknown_dimension:
      return "unknown_dimension";
    case Code::invalid_constraint:
      return "invalid_constraint";
    case Code::invalid_request:
      return "invalid_request";
    case Code::unmet_constraint:
      return "unmet_constraint";
    case Code::infeasible:
      return "infeasible";
    case Code::busy:
      return "busy";
    case Code::quota_exceeded:
      return "quota_exceeded";
    case Code::affinity:
      return "affinity";
    case Code::unknown_resource:
      return "unknown_resource";
    case Code::duplicate:
      return "duplicate";
    case Code::in_use:
      return "in_use";
    case Code::unknown_reservation:
      return "unknown_reservation";
    case Code::wrong_state:
      return "wrong_state";
    case Code::expired:
      return "expired";
    case Code::not_held:
      return "not_held";
    case Code::key_conflict:
      return "key_conflict";
    case Code::unknown_quota:
      return "unknown_quota";
    case Code::cyclic_quota:
      return "cyclic_quota";
    case Code::stale_plan:
      return "stale_plan";
    case Code::malformed:
      return "malformed";
  }
  return "unknown";
}

namespace {

// `value / 1000`, exactly: "1.5".
std::string thousandths(std::int64_t value) {
  const bool negative = value < 0;
  auto size = negative ? 0 - static_cast<std::uint64_t>(value) : static_cast<std::uint64_t>(value);
  std::string text = std::to_string(size / 1000);
  if (size %= 1000; size != 0) {
    text.append(1, '.').append(std::to_string(1000 + size).substr(1));
    text.erase(text.find_last_not_of('0') + 1);
  }
  return negative ? '-' + text : text;
}

struct Scale {
  const char* name;
  std::int64_t size;
};

constexpr Scale bytes[] = {{" PiB", std::int64_t{1} << 50},
                           {" PB", 1'000'000'000'000'000},
                           {" TiB", std::int64_t{1} << 40},
                           {" TB", 1'000'000'000'000},
                           {" GiB", std::int64_t{1} << 30},
                           {" GB", 1'000'000'000},
                           {" MiB", std::int64_t{1} << 20},
                           {" MB", 1'000'000},
                           {" KiB", 1024},
                           {" kB", 1000},
                           {" B", 1}};
constexpr Scale bits[] = {
    {" Gbit/s", 1'000'000'000}, {" Mbit/s", 1'000'000}, {" kbit/s", 1000}, {" bit/s", 1}};

// In the largest unit of which it is a whole number; 0 in the smallest.
std::string scaled(std::int64_t value, std::span<const Scale> scales) {
  for (const auto& [name, size] : scales)
    if (size == 1 || (value != 0 && value % size == 0)) return std::to_string(value / size) + name;
  return std::to_string(value);
}

std::string duration(Time ns) {
  if (ns == forever) return "open-ended";
  if (ns % 1'000'000 != 0 && ns < 1'000'000'000 && ns > -1'000'000'000)
    return std::to_string(ns) + " ns";
  return thousandths(ns / 1'000'000) + " s";
}

}  // namespace

const char* to_string(Counted counted) noexcept {
  switch (counted) {
    case Counted::number:
      break;
    case Counted::millicores:
      return "millicores";
    case Counted::bytes:
      return "bytes";
    case Counted::bits_per_second:
      return "bits_per_second";
    case Counted::milligpus:
      return "milligpus";
    case Counted::items:
      return "items";
    case Counted::nanoseconds:
      return "nanoseconds";
  }
  return "number";
}

std::string to_text(std::int64_t value, Counted counted) {
  switch (counted) {
    case Counted::number:
      break;
    case Counted::millicores:
      return thousandths(value) + (value == 1000 ? " core" : " cores");
    case Counted::bytes:
      return scaled(value, bytes);
    case Counted::bits_per_second:
      return scaled(value, bits);
    case Counted::milligpus:
      return thousandths(value) + " gpu";
    case Counted::items:
      return std::to_string(value) + (value == 1 ? " item" : " items");
    case Counted::nanoseconds:
      return duration(value);
  }
  return std::to_string(value);
}

namespace {

std::string asked_against_available(const Refusal& r) {
  return to_text(r.asked, r.counted) + " asked, " + to_text(r.available, r.counted) + " available";
}

std::string quoted(const Refusal& r) {
  return "'" + r.subject + "'";
}

std::string in_detail(const Refusal& r) {
  return r.detail.empty() ? std::string() : " in " + r.detail;
}

// Rounded to the second where that is exact to a thousandth.
std::string from_now(Time ahead) {
  constexpr Time second = 1'000'000'000;
  if (ahead > 1000 * second && ahead < forever - second)
    ahead = (ahead + second / 2) / second * second;
  return to_text(ahead, Counted::nanoseconds) + " from now";
}

// Free at first, but not for long enough.
std::string too_short(const Refusal& r) {
  const auto most = to_text(r.available, r.counted);
  std::string text = r.subject == "time" ? std::string("there is room, but not for long enough")
                                         : quoted(r) + " is too short";
  text += " (" + to_text(r.asked, r.counted) + " asked, " + most + " available";
  if (r.ahead > 0) text += " in a window that begins " + from_now(r.ahead);
  text += r.detail.empty() ? "): others have it then" : "): '" + r.detail + "' has it next";
  text += r.available > 0 ? "; ask for at most " + most : "; ask for less";
  if (r.earliest) return text + "; it fits from tick " + std::to_string(*r.earliest);
  return text + ", or for a later start, which earliest() names if there is one";
}

std::string busy(const Refusal& r) {
  if (r.asked == 0) return quoted(r) + ": there is no place now; wait, or ask for something else";
  if (r.counted == Counted::nanoseconds) return too_short(r);
  if (!r.detail.empty()) return r.subject + " (" + asked_against_available(r) + "); " + r.detail;
  std::string text = "too little " + (r.subject == "time" ? "" : quoted(r) + ' ') + "is free ";
  text += r.ahead > 0 ? "at the start of the window, " + from_now(r.ahead) : "now";
  text += " (" + asked_against_available(r) + ")";
  if (r.earliest) text += "; it fits from tick " + std::to_string(*r.earliest);
  return text + (r.ahead > 0 ? "; ask for less, or for another start, which earliest() names"
                             : "; wait or ask for less");
}

std::string unknown_quota(const Refusal& r) {
  if (r.subject.empty())
    return "the request names no quota node, and this policy wants one; set Request::quota";
  if (r.subject[0] != '#') return "there is no quota node " + quoted(r) + "; add it first";
  return "there is no quota node " + r.subject + " (" + std::to_string(r.available) +
         " were added, from #0 on); use an id that add_quota() returned";
}

std::string sentence(const Refusal& r) {  // tidy: one table of sentences
  switch (r.code) {
    case Code::invalid_amount:
      return "the amount " + quoted(r) + ' ' +
             (r.detail.empty() ? "is not greater than 0; give a positive one" : r.detail);
    case Code::inexact_amount:
      return "the amount " + quoted(r) + " is not a whole number of " +
             (r.detail.empty() ? "canonical units" : r.detail) +
             ", the finest there is; round it to one";
    case Code::overflow:
      return r.detail.empty() ? "the amount " + quoted(r) +
                                    " does not fit 64 bits of canonical units; ask for less"
                              : quoted(r) + ' ' + r.detail;
    case Code::unknown_unit:
      return (r.subject.empty() ? "a unit is missing" : "the unit " + quoted(r) + " is unknown") +
             in_detail(r);
    case Code::unit_mismatch:
      return "the unit " + quoted(r) + " does not measure this resource type" + in_detail(r);
    case Code::unknown_dimension:
      return "no registered resource counts " + quoted(r) + "; register one, or correct the name";
    case Code::invalid_constraint:
      return "the constraint on " + quoted(r) + " has no meaning; check its values and their types";
    case Code::invalid_request:
      return "the request is not usable: " + r.subject;
    case Code::unmet_constraint:
      return "no resource satisfies the constraint on " + quoted(r) +
             "; relax it or add a resource";
    case Code::infeasible:
      return "no resource is large enough in " + quoted(r) + " (" + asked_against_available(r) +
             " at most); split the demand or add a larger resource";
    case Code::busy:
      return busy(r);
    case Code::quota_exceeded:
      return "quota " + quoted(r) + " has too little" +
             (r.detail.empty() ? "" : " '" + r.detail + "'") + " left (" +
             asked_against_available(r) + "); release something or raise the quota";
    case Code::affinity:
      return "the rule on " + quoted(r) + " leaves no place; relax it or add resources elsewhere";
    case Code::unknown_resource:
      return "there is no resource " + quoted(r) + "; register it first";
    case Code::duplicate:
      return "the name " + quoted(r) + " is taken; choose another";
    case Code::in_use:
      return "resource " + quoted(r) + " is in use; drain it and wait for its release";
    case Code::unknown_reservation:
      return "this reservation id was never given out";
    case Code::wrong_state:
      return "the reservation is " + r.subject + "; this verb does not apply";
    case Code::expired:
      return "the reservation's time to live is over; create a new one";
    case Code::not_held:
      return "more " + (r.detail.empty() ? std::string() : "'" + r.detail + "' of ") + quoted(r) +
             " given back than is held (" + to_text(r.asked, r.counted) + " given, " +
             to_text(r.available, r.counted) + " held); give back at most that";
    case Code::key_conflict:
      return "idempotency key " + quoted(r) + " was used for a different request; use a fresh key";
    case Code::unknown_quota:
      return unknown_quota(r);
    case Code::cyclic_quota:
      return "quota node " + quoted(r) + " would be its own ancestor";
    case Code::stale_plan:
      return "the ledger changed since this plan was made; plan again";
    case Code::malformed:
      return r.subject;
  }
  return "refused";
}

}  // namespace

std::string Refusal::why() const {
  return sentence(*this);
}

}  // namespace reeve::alloc
