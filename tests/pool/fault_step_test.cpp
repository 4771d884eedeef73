// A worker, or the warden, dies at a chosen step of a call or of a start (scenario 11): the pool
// never hangs and no other lease is hurt.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include <cstddef>

#include "process/protocol.hpp"
#include "tests/pool/scenario_support.hpp"

namespace reeve::test {
namespace {

using testing::HasSubstr;

enum class Step : std::uint64_t {
  decoding,
  running,
  encoding,
  before_reply,
  before_bell,
  after_bell
};
enum class Target : std::uint64_t { worker, warden };

constexpr const char* step_names[] = {"while_it_decodes", "while_it_runs",   "while_it_encodes",
                                      "before_the_reply", "before_the_bell", "after_the_bell"};

/// Carries the blow to the worker and, if it gets that far, back.
struct Charge {
  Step step = Step::running;
  Target victim = Target::worker;
};

const int program = getpid();
pid_t doomed = 0;

[[noreturn]] void strike(Target victim) {
  kill(victim == Target::warden ? getppid() : getpid(), SIGKILL);
  for (;;) pause();  // the warden's death is ours, too
}

void on_trapped_call(int) {
  kill(doomed, SIGKILL);
  for (;;) pause();
}

/// The next system call `number` of this thread (with `first` as its first argument, if that is not
/// negative) is not made: the victim dies instead.
void strike_at(long number, int first, Target victim) {
  doomed = victim == Target::warden ? getppid() : getpid();
  signal(SIGSYS, on_trapped_call);
  sock_filter any[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(number), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_filter with_argument[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(number), 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[0])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(first), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog filter{};
  filter.filter = first < 0 ? any : with_argument;
  filter.len = first < 0 ? std::size(any) : std::size(with_argument);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
    throw std::runtime_error("seccomp is not available");
  }
}

}  // namespace
}  // namespace reeve::test

template <>
struct reeve::codec::Codec<reeve::test::Charge> {
  using Charge = reeve::test::Charge;
  using Step = reeve::test::Step;
  static bool due(const Charge& charge, Step step) {
    return getpid() != reeve::test::program && charge.step == step;
  }
  static void encode(Writer& writer, const Charge& charge) {
    writer.write_size(static_cast<std::uint64_t>(charge.step));
    if (due(charge, Step::encoding)) reeve::test::strike(charge.victim);
    writer.write_size(static_cast<std::uint64_t>(charge.victim));
  }
  static Charge decode(Reader& reader) {
    Charge charge;
    charge.step = static_cast<Step>(reader.read_size());
    charge.victim = static_cast<reeve::test::Target>(reader.read_size());
    if (due(charge, Step::decoding)) reeve::test::strike(charge.victim);
    return charge;
  }
};

namespace reeve::test {
namespace {

Charge under_attack(const Charge& charge) {
  std::this_thread::sleep_for(3ms);  // the program sleeps by now and wants a bell
  switch (charge.step) {
    case Step::running:
      strike(charge.victim);
    case Step::before_reply:
      strike_at(SYS_waitid, -1, charge.victim);
      break;
    case Step::before_bell:
      strike_at(SYS_write, process::worker_bell_fd, charge.victim);
      break;
    case Step::after_bell:
      strike_at(SYS_futex, -1, charge.victim);
      break;
    default:
      break;
  }
  return charge;
}

enum class Outcome { none, result, lost };

asio::awaitable<Outcome> attack(ResourcePool& pool, Charge charge) {
  auto worker = co_await pool.acquire_worker("attacked");
  Outcome outcome = Outcome::none;
  try {
    const Charge back = co_await worker.run<&under_attack>(charge);
    outcome = back.step == charge.step ? Outcome::result : Outcome::none;
  } catch (const WorkerLostError&) {
    outcome = Outcome::lost;
  }
  co_await worker.wait_revoked();  // also when the result was in time, the worker is gone
  EXPECT_THROW(worker.rethrow_cause(), WorkerLostError);
  co_return outcome;
}

int add_slowly(int a, int b) {
  std::this_thread::sleep_for(10ms);
  return a + b;
}

class FaultStep : public testing::TestWithParam<int> {
 protected:
  asio::io_context context;
  Step step() const { return static_cast<Step>(GetParam()); }
  bool answered() const { return step() == Step::before_bell || step() == Step::after_bell; }
};

// 11
TEST_P(FaultStep, worker_dies) {
  ResourcePool pool(context.get_executor(), small_config());
  const auto innocent = run_in(context, hold(pool, "innocent"));
  for (int round = 0; round < 4; ++round) {
    std::optional<int> sum;
    asio::co_spawn(context, innocent->run<&add_slowly>(40, 2),
                   [&](std::exception_ptr failure, int value) {
                     if (!failure) sum = value;
                   });
    Charge charge;
    charge.step = step();
    EXPECT_EQ(run_in(context, attack(pool, charge)), answered() ? Outcome::result : Outcome::lost);
    EXPECT_TRUE(run_until(context, [&] { return sum.has_value(); })) << "an innocent call hangs";
    EXPECT_EQ(sum, 42);
    expect_pool_works(context, pool);
  }
  EXPECT_FALSE(innocent->revoked());
  EXPECT_EQ(pool.status().deaths.lost, 4u);
  EXPECT_EQ(pool.status().active_tasks, 1u);
}

// 11, 49
TEST_P(FaultStep, warden_dies) {
  Mark mark;
  {
    ResourcePool pool(context.get_executor(), small_config());
    for (int round = 0; round < 3; ++round) {
      Charge charge;
      charge.step = step();
      charge.victim = Target::warden;
      const Outcome outcome = run_in(context, attack(pool, charge));
      if (!answered()) {
        EXPECT_EQ(outcome, Outcome::lost);
      }
      EXPECT_TRUE(run_until(context, [&] { return pool.status().active_tasks == 0; }));
      expect_pool_works(context, pool);
    }
    EXPECT_TRUE(run_until(context, [&] { return mark.processes("reeve-warden").size() == 1; }));
  }
  EXPECT_TRUE(mark.gone_within(5s));
}

INSTANTIATE_TEST_SUITE_P(Steps, FaultStep, testing::Range(0, 6),
                         [](const auto& test) { return step_names[test.param]; });

// ------------------------------------------------------------------------------------------------
// Steps at which the worker itself does nothing.

struct FaultBetween : testing::Test {
  asio::io_context context;
  ResourcePool pool{context.get_executor(), small_config()};
  std::shared_ptr<WorkerLease> innocent = run_in(context, hold(pool, "innocent"));

  void expect_innocent_unharmed() {
    EXPECT_FALSE(innocent->revoked());
    EXPECT_EQ(run_in(context, innocent->run<&add>(40, 2)), 42);
    expect_pool_works(context, pool);
  }
};

// 11
TEST_F(FaultBetween, before_the_worker_reads_the_request) {
  auto lease = run_in(context, hold(pool, "attacked"));
  kill(lease->pid(), SIGSTOP);
  std::optional<int> sum;
  asio::co_spawn(context, lease->run<&add>(40, 2),
                 [&](std::exception_ptr failure, int value) { sum = failure ? -1 : value; });
  context.restart();
  context.run_for(5ms);
  kill(lease->pid(), SIGKILL);
  EXPECT_TRUE(run_until(context, [&] { return sum.has_value(); }));
  EXPECT_EQ(sum, 42) << "nothing had begun: the next worker did it";
  EXPECT_EQ(pool.status().deaths.lost, 1u);
  lease.reset();
  expect_innocent_unharmed();
}

// 11
TEST_F(FaultBetween, two_calls_of_one_lease) {
  const auto lease = run_in(context, hold(pool, "attacked"));
  EXPECT_EQ(run_in(context, lease->run<&add>(1, 2)), 3);
  kill(lease->pid(), SIGKILL);
  EXPECT_TRUE(error_of<WorkerLostError>(context, lease->run<&add>(1, 2)));
  EXPECT_TRUE(lease->revoked());
  expect_innocent_unharmed();
}

// 11
TEST_F(FaultBetween, two_leases) {
  for (int round = 0; round < 5; ++round) {
    run_in(context, call_once<&add>(pool, "first", 1, 2));
    for (const WorkerStatus& worker : pool.status().workers) {
      if (worker.state == WorkerState::idle) kill(worker.pid, SIGKILL);
    }
    // A worker whose death the pool has not heard of may be granted; the lease gets another.
    EXPECT_EQ((run_in(context, call_once<&add>(pool, "second", 1, 2))), 3);
    EXPECT_TRUE(run_until(context, [&] { return pool.status().active_tasks == 1; }));
    expect_innocent_unharmed();
  }
}

// 11: a thread kills every new child of the warden as soon as it sees it.
TEST_F(FaultBetween, its_fork_and_its_first_call) {
  const int warden = parent_pid(innocent->pid());
  const std::string list =
      "/proc/" + std::to_string(warden) + "/task/" + std::to_string(warden) + "/children";
  std::atomic<int> to_kill{40};
  std::jthread killer([&, spared = innocent->pid()](std::stop_token stop) {
    while (!stop.stop_requested() && to_kill > 0) {
      std::istringstream pids(read_text(list));
      for (int pid; pids >> pid;) {
        if (pid != spared && to_kill > 0 && kill(pid, SIGKILL) == 0) --to_kill;
      }
    }
  });
  for (int i = 0; to_kill > 0 && i < 10'000; ++i) {
    try {
      run_in(context, call_once<&add>(pool, "started", 1, 2));
    } catch (const WorkerLostError&) {
    } catch (const PoolDegradedError&) {
      run_in(context, pause_for(5ms));
    }
  }
  EXPECT_LE(to_kill, 0) << "the killer met nobody";
  killer.join();
  const auto recovered = [&] {
    try {
      return run_in(context, call_once<&add>(pool, "again", 1, 2)) == 3;
    } catch (const Error&) {
      return false;
    }
  };
  EXPECT_TRUE(run_until(context, recovered));
  expect_innocent_unharmed();
}

// ------------------------------------------------------------------------------------------------
// The warden dies outside of any call.

// 11, 49
TEST(FaultWarden, before_it_reads_that_a_worker_is_wanted) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  for (int round = 0; round < 3; ++round) {
    auto first = run_in(context, hold(pool, "first"));
    const int warden = parent_pid(first->pid());
    std::optional<int> second;
    if (kill(warden, SIGSTOP) != 0) FAIL();
    run_in(context, pool.resize(round % 2 == 0 ? 3 : 2));
    asio::co_spawn(context, call_once<&add>(pool, "second", 40, 2),
                   [&](std::exception_ptr failure, int value) { second = failure ? -1 : value; });
    context.restart();
    context.run_for(5ms);
    kill(warden, SIGKILL);
    EXPECT_TRUE(run_until(context, [&] { return second.has_value() && first->revoked(); }));
    EXPECT_THROW(first->rethrow_cause(), WorkerLostError);
    first.reset();
    expect_pool_works(context, pool);
  }
}

// 11, 49
TEST(FaultWarden, as_it_starts) {
  asio::io_context context;
  for (int round = 0; round < 8; ++round) {
    Mark mark;
    ResourcePool pool(context.get_executor(), small_config());
    EXPECT_FALSE(pool.try_acquire("launches it"));
    std::this_thread::sleep_for(std::chrono::microseconds(round * 400));
    for (const int pid : mark.processes()) kill(pid, SIGKILL);
    // Workers that still live may be granted, and answer, before the death is heard of.
    const auto answers = [&] {
      try {
        return run_in(context, call_once<&add>(pool, "first", 1, 2)) == 3;
      } catch (const WorkerLostError&) {
        return false;
      }
    };
    const bool early = answers();
    EXPECT_TRUE(answers() || (early && answers()));
  }
}

// 11, 49: the deadline passes while the warden cannot act; then it is killed.
TEST(FaultWarden, when_a_limit_is_reached) {
  asio::io_context context;
  ResourcePool pool(context.get_executor(), small_config());
  const auto lease = run_in(context, hold(pool, "attacked"));
  const int warden = parent_pid(lease->pid());
  std::exception_ptr failure;
  asio::co_spawn(context, lease->run<&spin>(RunLimits(20ms)),
                 [&](std::exception_ptr e, int) { failure = e; });
  context.restart();
  context.run_for(5ms);
  kill(warden, SIGSTOP);
  context.restart();
  context.run_for(40ms);
  kill(warden, SIGKILL);
  EXPECT_TRUE(run_until(context, [&] { return failure != nullptr; }));
  EXPECT_THROW(std::rethrow_exception(failure), WorkerError);
  expect_pool_works(context, pool);
}

}  // namespace
}  // namespace reeve::test
