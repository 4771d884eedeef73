// A pool's workers under policies: everything of reeve::bridge.
#pragma once

#include <reeve/bridge/config.hpp>
#include <reeve/bridge/errors.hpp>
#include <reeve/bridge/status.hpp>
#include <reeve/bridge/worker_scheduler.hpp>
#include <reeve/pool.hpp>
