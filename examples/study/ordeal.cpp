// Each bad task has a coroutine of its own; what it throws is what is checked.
#include "ordeal.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <string.h>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <chrono>

#include "misbehave.hpp"

namespace study {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using namespace reeve::literals;

constexpr auto time_allowed = 1000ms;  // for the task that never ends
constexpr double patience = 1.0;       // seconds beyond a limit; the machine may be busy
constexpr int grandchildren = 4;

double since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double milliseconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

double mebibytes(reeve::ByteSize size) {
  return static_cast<double>(size.bytes()) / (1 << 20);
}

struct Ending {
  std::string type = "returned";
  reeve::Evidence evidence;
  double seconds = 0;
};

template <auto Task, class... Args>
asio::awaitable<Ending> endure(reeve::ResourcePool pool, std::string name, reeve::RunLimits limits,
                               Args... args) {
  Ending ending;
  reeve::WorkerLease lease = co_await pool.acquire_worker(name);
  const auto start = std::chrono::steady_clock::now();
  try {
    co_await lease.run<Task>(limits, args...);
  } catch (const reeve::WorkerTimeoutError& error) {
    ending.type = "WorkerTimeoutError";
    ending.evidence = error.evidence();
  } catch (const reeve::WorkerMemoryError& error) {
    ending.type = "WorkerMemoryError";
    ending.evidence = error.evidence();
  } catch (const reeve::WorkerCrashedError& error) {
    ending.type = "WorkerCrashedError";
    ending.evidence = error.evidence();
  } catch (const std::exception& error) {
    ending.type = error.what();
  }
  ending.seconds = since(start);
  co_return ending;
}

void check_type(CheckList& checks, const std::string& task, const Ending& ending,
                const std::string& expected) {
  checks.that(task + " task, its error", ending.type == expected,
              fmt::format("{}, expected {}", ending.type, expected));
}

asio::awaitable<Ordeal> run_never_ending(reeve::ResourcePool pool, CheckList& checks) {
  const reeve::RunLimits limits(time_allowed);
  const Ending ending = co_await endure<&never_end>(pool, "never-ending", limits);
  const double limit = std::chrono::duration<double>(time_allowed).count();
  check_type(checks, "never-ending", ending, "WorkerTimeoutError");
  checks.at_least("never-ending task, s until it was ended", ending.seconds, limit);
  checks.at_most("never-ending task, s until it was ended", ending.seconds, limit + patience);
  Ordeal ordeal;
  ordeal.task = "never-ending";
  ordeal.ended = ending.type;
  ordeal.seconds = ending.seconds;
  const auto& evidence = ending.evidence;
  ordeal.evidence =
      fmt::format("allowed {:.3f} s; dead {:.2f} ms after that", limit,
                  milliseconds(evidence.elapsed - evidence.time_limit + evidence.kill_latency));
  co_return ordeal;
}

asio::awaitable<Ordeal> run_memory_eating(reeve::ResourcePool pool, CheckList& checks) {
  const reeve::RunLimits limits;
  const std::uint64_t appetite = (4_GiB).bytes();
  const Ending ending = co_await endure<&eat_memory>(pool, "memory-eating", limits, appetite);
  const auto& evidence = ending.evidence;
  const reeve::ByteSize limit = pool.config().worker_memory;
  check_type(checks, "memory-eating", ending, "WorkerMemoryError");
  checks.near("memory-eating task, MiB allowed", mebibytes(evidence.memory_limit), mebibytes(limit),
              0);
  checks.at_least("memory-eating task, MiB observed", mebibytes(evidence.memory_observed),
                  0.9 * mebibytes(limit));
  checks.at_most("memory-eating task, MiB observed", mebibytes(evidence.memory_observed),
                 mebibytes(limit + 16_MiB));
  checks.at_most("memory-eating task, s until it was ended", ending.seconds, 2 * patience);
  Ordeal ordeal;
  ordeal.task = "memory-eating";
  ordeal.ended = ending.type;
  ordeal.seconds = ending.seconds;
  ordeal.evidence = fmt::format("allowed {}; had {:.1f} MiB when {} refused more", to_string(limit),
                                mebibytes(evidence.memory_observed), evidence.mechanism);
  co_return ordeal;
}

asio::awaitable<Ordeal> run_crashing(reeve::ResourcePool pool, CheckList& checks) {
  const reeve::RunLimits limits;
  const Ending ending = co_await endure<&crash>(pool, "crashing", limits);
  check_type(checks, "crashing", ending, "WorkerCrashedError");
  checks.near("crashing task, signal", ending.evidence.signal, SIGSEGV, 0);
  checks.at_most("crashing task, s until it was known", ending.seconds, patience);
  Ordeal ordeal;
  const char* const signal = sigabbrev_np(ending.evidence.signal);
  ordeal.task = "crashing";
  ordeal.ended = ending.type;
  ordeal.seconds = ending.seconds;
  ordeal.evidence =
      fmt::format("SIG{} at address {:#x}; process {} is gone", signal != nullptr ? signal : "?",
                  ending.evidence.fault_address, ending.evidence.pid);
  co_return ordeal;
}

asio::awaitable<std::vector<std::int64_t>> leave_them(reeve::ResourcePool pool) {
  reeve::WorkerLease lease = co_await pool.acquire_worker("forking");
  co_return co_await lease.run<&leave_grandchildren>(grandchildren, 600);
}

asio::awaitable<Ordeal> run_forking(reeve::ResourcePool pool, CheckList& checks) {
  const auto pids = co_await leave_them(pool);
  const auto returned = std::chrono::steady_clock::now();
  checks.near("forking task, grandchildren", static_cast<double>(pids.size()), grandchildren, 0);
  asio::steady_timer timer(co_await asio::this_coro::executor);
  while (alive(pids) > 0 && since(returned) < 10) {
    timer.expires_after(1ms);
    co_await timer.async_wait(asio::use_awaitable);
  }
  const double seconds = since(returned);
  checks.near("forking task, grandchildren left", static_cast<double>(alive(pids)), 0, 0);
  checks.at_most("forking task, s until they were gone", seconds, patience);
  Ordeal ordeal;
  ordeal.task = "forking";
  ordeal.ended = "returned";
  ordeal.seconds = seconds;
  ordeal.evidence = fmt::format("left {} double-forked grandchildren; {} live after its lease",
                                pids.size(), alive(pids));
  co_return ordeal;
}

}  // namespace

std::size_t alive(const std::vector<std::int64_t>& pids) {
  std::size_t count = 0;
  for (const auto pid : pids) count += ::kill(static_cast<pid_t>(pid), 0) == 0;
  return count;
}

asio::awaitable<Ordeal> run_ordeal(std::size_t index, reeve::ResourcePool pool, CheckList& checks) {
  switch (index) {
    case 0:
      return run_never_ending(pool, checks);
    case 1:
      return run_memory_eating(pool, checks);
    case 2:
      return run_crashing(pool, checks);
    default:
      return run_forking(pool, checks);
  }
}

}  // namespace study
