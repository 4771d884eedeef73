// Everything a user of pool managers includes.
#pragma once

#include <reeve/manager/executor_type.hpp>
#include <reeve/manager/managed_pool.hpp>
#include <reeve/manager/managed_scope.hpp>
#include <reeve/manager/manager_config.hpp>
#include <reeve/manager/pool_manager.hpp>
#include <reeve/manager/stats.hpp>
#include <reeve/process/init.hpp>
