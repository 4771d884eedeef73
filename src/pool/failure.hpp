// Why a lease ended, as a value; every throw builds its own exception from it, but for what a
// progress sink threw, which is passed on as it is.
#pragma once

#include <exception>
#include <memory>
#include <reeve/pool/errors.hpp>
#include <string>

#include "process/layout.hpp"

namespace reeve {

using process::Cause;

struct Failure {
  Cause cause = Cause::lost;
  std::string task;
  WorkerId worker;
  std::shared_ptr<const Evidence> evidence;
  std::string reason;         // for lost and cancelled: what happened
  std::string by;             // set: preempted, in favour of
  std::exception_ptr thrown;  // set: by the call's progress sink; this is what is thrown
};

/// The typed exception of `failure`. Cost: allocates its text.
[[noreturn]] void throw_failure(const Failure& failure);

/// What led to a crash at an address that is next to null, with the private memory at that time (0:
/// it was not limited). The second: malloc is known to have been refused.
std::string null_pointer_text(ByteSize used, ByteSize limit);
inline constexpr const char* refused_malloc_text =
    "malloc was refused, and the null pointer that it returned was used";

/// "SIGSEGV", "SIGKILL", ... or "signal 42".
std::string signal_name(int number);

}  // namespace reeve
