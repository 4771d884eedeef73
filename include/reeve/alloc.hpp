// Everything of reeve::alloc.
#pragma once

#include "reeve/alloc/capability.hpp"
#include "reeve/alloc/contention.hpp"
#include "reeve/alloc/device_cluster.hpp"
#include "reeve/alloc/ledger.hpp"
#include "reeve/alloc/model.hpp"
#include "reeve/alloc/policy.hpp"
#include "reeve/alloc/preemption.hpp"
#include "reeve/alloc/quantity.hpp"
#include "reeve/alloc/quota.hpp"
#include "reeve/alloc/reservation_manager.hpp"
#include "reeve/alloc/resource_allocator.hpp"
#include "reeve/alloc/result.hpp"
#include "reeve/alloc/share_tree.hpp"
#include "reeve/alloc/simulator.hpp"
#include "reeve/alloc/swf.hpp"
