// The sentences behind a refusal.
#include "reeve/alloc/result.hpp"

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

std::string asked_against_available(const Refusal& r) {
  return std::to_string(r.asked) + " asked, " + std::to_string(r.available) + " available";
}

std::string quoted(const Refusal& r) {
  return "'" + r.subject + "'";
}

std::string sentence(const Refusal& r) {
  switch (r.code) {
    case Code::invalid_amount:
      return "the amount " + quoted(r) + " is not a positive number; give a whole number of units";
    case Code::inexact_amount:
      return "the amount " + quoted(r) +
             " is not a whole number of canonical units; use a finer unit";
    case Code::overflow:
      return "the amount " + quoted(r) + " does not fit 64 bits of canonical units; ask for less";
    case Code::unknown_unit:
      return "the unit " + quoted(r) + " is unknown; see the unit table";
    case Code::unit_mismatch:
      return "the unit " + quoted(r) + " does not measure this resource type";
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
    case Code::busy: {
      std::string text =
          "too little " + quoted(r) + " is free now (" + asked_against_available(r) + ")";
      if (r.earliest) text += "; it fits from tick " + std::to_string(*r.earliest);
      return text + "; wait or ask for less";
    }
    case Code::quota_exceeded:
      return "quota " + quoted(r) + " is exhausted (" + asked_against_available(r) +
             "); release something or raise the quota";
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
      return "more " + quoted(r) + " given back than is held (" + std::to_string(r.asked) +
             " given, " + std::to_string(r.available) + " held)";
    case Code::key_conflict:
      return "idempotency key " + quoted(r) + " was used for a different request; use a fresh key";
    case Code::unknown_quota:
      return "there is no quota node " + quoted(r) + "; add it first";
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
