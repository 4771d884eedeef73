// Everything a user of pools includes.
#pragma once

#include <reeve/pool/config.hpp>
#include <reeve/pool/errors.hpp>
#include <reeve/pool/parallel_map.hpp>
#include <reeve/pool/resource_pool.hpp>
#include <reeve/pool/run_limits.hpp>
#include <reeve/pool/status.hpp>
#include <reeve/pool/with_worker.hpp>
#include <reeve/pool/worker_lease.hpp>
#include <reeve/process/init.hpp>
#include <reeve/process/this_worker.hpp>
