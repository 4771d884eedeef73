// Deciding what a machine may start: everything of reeve::limits.
#pragma once

#include <reeve/limits/limiter_config.hpp>
#include <reeve/limits/resource_limiter.hpp>
#include <reeve/limits/usage.hpp>
