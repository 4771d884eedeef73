// Thread workers: for trusted code; same calls, softer limits.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <memory>
#include <mutex>
#include <reeve/pool/config.hpp>

#include "pool/worker.hpp"

namespace reeve::detail {

class Core;

/// `events` is called with `mutex` held, and only while `owner` lives.
std::unique_ptr<Backend> make_thread_backend(BackendEvents& events, std::weak_ptr<Core> owner,
                                             boost::asio::any_io_executor executor,
                                             std::mutex& mutex, const ResourceConfig& config);

}  // namespace reeve::detail
