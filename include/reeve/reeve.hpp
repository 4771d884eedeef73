// Everything of reeve, for programs that link reeve::reeve. Each component's own header compiles
// faster.
#pragma once

#include <reeve/alloc.hpp>
#include <reeve/audit.hpp>
#include <reeve/bridge.hpp>
#include <reeve/cache.hpp>
#include <reeve/inference.hpp>
#include <reeve/limits.hpp>
#include <reeve/manager.hpp>
#include <reeve/mcmc.hpp>
#include <reeve/pool.hpp>
#include <reeve/tasks.hpp>
