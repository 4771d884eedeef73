// What makes two managed pools the same: every field of their configuration, and a label.
#pragma once

#include <cstddef>
#include <reeve/pool/config.hpp>
#include <string>

namespace reeve::detail {

struct PoolKey {
  ResourceConfig config;
  std::string label;
};

std::size_t hash_of(const PoolKey& key) noexcept;
bool same(const PoolKey& a, const PoolKey& b) noexcept;

}  // namespace reeve::detail
