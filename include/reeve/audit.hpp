// The audit trail of a pool: events, ring, sinks, verification.
#pragma once

#include <reeve/audit/event.hpp>
#include <reeve/audit/ring.hpp>
#include <reeve/audit/sink.hpp>
#include <reeve/audit/verify.hpp>
