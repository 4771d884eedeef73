// A dying worker writes down where it died; the kernel still kills it by the same signal.
#pragma once

#include <cstdint>

#include "process/layout.hpp"

namespace reeve::process {

/// Addresses below this belong to nobody: a null pointer, or an offset from it, was used.
inline constexpr std::uintptr_t null_page_bytes = 64 * 1024;
bool is_null_use(int number, int code, const void* address) noexcept;

/// Installs handlers for SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT on an alternate stack. They
/// note signal, code, address and VmData in the channel, restore the default action and return.
/// A null pointer that is used while errno says ENOMEM, under a limit of memory, is noted as
/// refused memory, too: it is what malloc returned.
void install_crash_notes(ChannelHeader& channel);

}  // namespace reeve::process
