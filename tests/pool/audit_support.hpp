// The audit of a pool that is still in use.
#pragma once

#include <reeve/audit.hpp>

#include "tests/pool/pool_test_support.hpp"

namespace reeve::test {

inline void expect_audit_holds(const ResourcePool& pool) {
  const auto events = pool.audit_events();
  const audit::Report report = audit::verify(events);
  EXPECT_TRUE(report.ok()) << report.text();
}

}  // namespace reeve::test
