// Process workers: the program's side of warden, board and channels.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <memory>
#include <mutex>
#include <reeve/async/quiet_wait.hpp>
#include <reeve/pool/config.hpp>

#include "pool/worker.hpp"

namespace reeve::detail {

class Core;

/// `events` is called with `mutex` held, and only while `owner` lives. The warden starts with the
/// first worker.
std::unique_ptr<Backend> make_process_backend(BackendEvents& events, std::weak_ptr<Core> owner,
                                              boost::asio::any_io_executor executor,
                                              async::QuietWait quiet, std::mutex& mutex,
                                              const ResourceConfig& config);

}  // namespace reeve::detail
