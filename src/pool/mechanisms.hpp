// What of a configuration becomes the settings of workers, and what enforces the limits then.
#pragma once

#include <reeve/pool/config.hpp>
#include <reeve/pool/status.hpp>
#include <string>

#include "pool/pool_group.hpp"
#include "pool/worker.hpp"
#include "process/protocol.hpp"

namespace reeve::detail {

/// What a worker of this program has in use before it does anything: no limit can be lower.
ByteSize least_worker_memory();

/// The directory and the environment as they stand behind the board's slots.
std::string settings_text(const ResourceConfig& config);

/// ResourceConfig::spin_time, or 0 where this process has only one processor.
std::int64_t spin_ns(const ResourceConfig& config);

process::WorkerSettings worker_settings(const ResourceConfig& config, std::size_t text_bytes);

/// Puts the group's path and limits into settings that are not yet in use.
void enter_group(process::WorkerSettings& settings, const PoolGroup& group,
                 const ResourceConfig& config);

/// What the warden's last report tells of a worker.
Death death_of(const process::Report& report);

/// `warden_threads`: as its hello told, 0: not started yet.
Capabilities list_mechanisms(const process::WorkerSettings& settings, const PoolGroup& group,
                             const ResourceConfig& config, unsigned warden_threads);

}  // namespace reeve::detail
