// A dying worker writes down where it died; the kernel still kills it by the same signal.
#pragma once

#include "process/layout.hpp"

namespace reeve::process {

/// Installs handlers for SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT on an alternate stack. They
/// note signal, code, address and VmData in the channel, restore the default action and return.
void install_crash_notes(ChannelHeader& channel);

}  // namespace reeve::process
