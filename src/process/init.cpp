// reeve::init: an ordinary program, a warden, or a worker.
#include <reeve/process/init.hpp>

#include <unistd.h>

#include <atomic>
#include <cstring>

#include "process/protocol.hpp"
#include "process/warden.hpp"
#include "process/worker.hpp"

namespace reeve {
namespace {

std::atomic<bool> called{false};

}  // namespace

void init(int argc, char** argv) {
  called.store(true, std::memory_order_release);
  if (argc != 1 || argv[0] == nullptr) return;
  if (std::strcmp(argv[0], process::warden_name) == 0) {
    process::Warden warden;
    warden.run();
    _exit(0);
  }
  if (std::strcmp(argv[0], process::worker_name) == 0) process::enter_executed_worker();
}

bool initialized() noexcept {
  return called.load(std::memory_order_acquire);
}

}  // namespace reeve
