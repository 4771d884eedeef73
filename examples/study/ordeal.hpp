// The tasks that misbehave, leased like any other, and the way each must end.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <reeve/pool.hpp>
#include <string>
#include <vector>

#include "checks.hpp"

namespace study {

/// What a bad task came to; `evidence` is for people.
struct Ordeal {
  std::string task;
  std::string ended;
  double seconds = 0;  // from the grant until its caller knew
  std::string evidence;
};

inline constexpr std::size_t ordeal_count = 4;

/// Runs bad task `index` (below ordeal_count) on a worker of `pool` and checks its end: the type of
/// the error, the figures in it, the time it took, and that nothing it started is left.
///
/// Lifetime: `checks` until it has ended.
boost::asio::awaitable<Ordeal> run_ordeal(std::size_t index, reeve::ResourcePool pool,
                                          CheckList& checks);

/// How many of these processes exist.
std::size_t alive(const std::vector<std::int64_t>& pids);

}  // namespace study
