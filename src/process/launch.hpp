// Starting a warden from a program that may have threads, CUDA and gigabytes.
#pragma once

#include <sys/types.h>

#include <reeve/os/fd.hpp>

namespace reeve::process {

struct Launched {
  pid_t pid = -1;
  os::UniqueFd socket;
};

/// Re-executes this program as a warden. The four descriptors arrive there at their fixed numbers.
///
/// The warden is no child of ours: a short-lived intermediate starts it, so that the program's own
/// waitpid(-1) and SIGCHLD never see it.
/// Errors: SystemError naming the step.
Launched launch_warden(int board, int hub, int wake);

}  // namespace reeve::process
