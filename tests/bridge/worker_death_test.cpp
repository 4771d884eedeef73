// Process workers that die under a scheduler give their place back: who waits gets it, and the
// books of ledger and pool agree.
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/bridge/bridge_test_support.hpp"

namespace reeve::test {
namespace {

using testing::HasSubstr;

constexpr std::size_t mebibyte = std::size_t{1} << 20;

void kill_myself() {
  kill(getpid(), SIGKILL);
}
std::size_t grow() {
  std::vector<std::vector<char>> blocks;
  for (std::size_t i = 0; i < 4096; ++i) blocks.emplace_back(mebibyte, 'x');
  return blocks.size();
}
// Beyond RLIMIT_DATA's view: the warden sees it, and kills.
void grow_shared() {
  constexpr std::size_t size = 400 * mebibyte;
  auto* memory = static_cast<volatile char*>(
      mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  for (std::size_t at = 0; at < size; at += 4096) memory[at] = 1;
  for (;;) pause();
}
void never_look() {
  for (volatile bool on = true; on;) continue;  // clang leaves out a loop without effect
}
int process_id() {
  return getpid();
}

/// What a request did: the process that served it, and the error that it ended with.
struct Outcome {
  bool leased = false;
  bool ended = false;
  int pid = 0;
  std::exception_ptr failure;
};
using OutcomePtr = std::shared_ptr<Outcome>;

template <auto Fn>
asio::awaitable<void> serve(WorkerScheduler scheduler, std::string name, WorkerRequest request,
                            OutcomePtr outcome) {
  WorkerLease lease = co_await scheduler.acquire_worker(name, request);
  outcome->leased = true;
  outcome->pid = co_await lease.run<&process_id>();
  co_await lease.run<Fn>();
}

/// One process, two requesters.
class WorkerDeath : public testing::Test {
 protected:
  void start(SchedulerConfig config = of({{"alice"}, {"bob"}})) {
    pool_.emplace(context_.get_executor(), pool_config_);
    scheduler_.emplace(*pool_, std::move(config));
  }
  template <auto Fn>
  OutcomePtr ask(std::string name, WorkerRequest request = {}) {
    const auto outcome = std::make_shared<Outcome>();
    asio::co_spawn(context_, serve<Fn>(*scheduler_, name, request, outcome),
                   [outcome](std::exception_ptr e) {
                     outcome->failure = e;
                     outcome->ended = true;
                   });
    return outcome;
  }
  void run_to_end(const OutcomePtr& outcome) {
    ASSERT_TRUE(run_until(
        context_,
        [&] {
          never_more_than_one();
          return outcome->ended;
        },
        60s));
  }
  // At every instant between two steps of the context.
  void never_more_than_one() {
    const auto status = scheduler_->status();
    EXPECT_LE(status.leased + status.coming, 1U);
    EXPECT_LE(pool_->status().active_tasks, status.leased + status.coming);
    EXPECT_TRUE(status.differences.empty()) << status.differences.front();
  }
  // The audit at rest: nothing is held, nothing waits, each grant was counted once.
  void expect_at_rest(std::uint64_t alice, std::uint64_t bob) {
    const auto settled = [&] {
      const auto status = scheduler_->status();
      return status.leased + status.coming + status.waiting + status.stopping == 0U &&
             pool_->status().active_tasks == 0U;
    };
    EXPECT_TRUE(run_until(context_, settled));
    const auto status = scheduler_->status();
    EXPECT_TRUE(status.differences.empty());
    EXPECT_EQ(status.requesters[0].waits.granted, alice);
    EXPECT_EQ(status.requesters[1].waits.granted, bob);
    EXPECT_EQ(pool_->status().grants, alice + bob) << "the pool and the ledger count alike";
    EXPECT_EQ(pool_->status().waiting, 0U);
  }
  // bob's worker dies in Fn; alice, who waits, gets another process.
  template <class E, auto Fn>
  std::string death(WorkerRequest request = {}) {
    start();
    const auto victim = ask<Fn>("bob", request);
    const auto next = ask<&process_id>("alice");
    run_to_end(victim);
    std::string text;
    try {
      if (victim->failure) std::rethrow_exception(victim->failure);
      ADD_FAILURE() << "it lived";
    } catch (const E& e) {
      text = e.what();
    } catch (const std::exception& e) {
      ADD_FAILURE() << "another error: " << e.what();
    }
    EXPECT_FALSE(next->leased && next->pid == victim->pid);
    run_to_end(next);
    EXPECT_FALSE(next->failure);
    EXPECT_NE(next->pid, 0);
    EXPECT_NE(next->pid, victim->pid) << "the dead process served again";
    expect_at_rest(1, 1);
    EXPECT_GE(pool_->status().spawns, 2U);
    return text;
  }

  static ResourceConfig one_process() {
    ResourceConfig config = small_config();
    config.max_workers = 1;
    return config;
  }

  asio::io_context context_;
  ResourceConfig pool_config_ = one_process();
  std::optional<ResourcePool> pool_;
  std::optional<WorkerScheduler> scheduler_;
};

TEST_F(WorkerDeath, BySigkillGivesThePlaceToTheNext) {
  EXPECT_THAT((death<WorkerLostError, &kill_myself>()), HasSubstr("SIGKILL"));
  EXPECT_EQ(pool_->status().deaths.lost, 1U);
}

TEST_F(WorkerDeath, ByMemoryGivesThePlaceToTheNext) {
  REEVE_SKIP_WITH_SHADOW_MEMORY();
  EXPECT_THAT((death<WorkerMemoryError, &grow_shared>()), HasSubstr("its 256 MiB of memory"));
  EXPECT_EQ(pool_->status().deaths.memory, 1U);
}

TEST_F(WorkerDeath, ByMemoryThatWasRefusedGivesThePlaceToTheNext) {
  REEVE_SKIP_UNDER_SANITIZERS();
  EXPECT_THAT((death<WorkerMemoryError, &grow>()), HasSubstr("its 256 MiB of memory"));
  EXPECT_EQ(pool_->status().deaths.recycled, 1U) << "it answered, and is not used again";
}

TEST_F(WorkerDeath, ByTimeGivesThePlaceToTheNext) {
  WorkerRequest request;
  request.time_limit = 200ms;
  death<WorkerTimeoutError, &never_look>(request);
  EXPECT_EQ(pool_->status().deaths.timeout, 1U);
}

TEST_F(WorkerDeath, OfAnIdleWorkerCostsNobodyATurn) {
  start();
  const auto first = ask<&process_id>("bob");
  run_to_end(first);
  kill(first->pid, SIGKILL);
  const auto next = ask<&process_id>("alice");
  run_to_end(next);
  // The lease may have been on its way to the dead process: then it says so, and no place is lost.
  const bool lost = next->failure != nullptr;
  const auto last = ask<&process_id>("alice");
  run_to_end(last);
  EXPECT_FALSE(last->failure);
  EXPECT_NE(last->pid, first->pid);
  const auto granted = scheduler_->status().requesters[0].waits.granted;
  EXPECT_EQ(granted, 2U) << (lost ? "one was lost" : "none was lost");
  expect_at_rest(2, 1);
}

TEST_F(WorkerDeath, ManyInARowLeaveTheBooksEven) {
  pool_config_.max_workers = 2;
  SchedulerConfig config = of({{"alice", 1, 0, WorkerQuota{1, 0, 0}}, {"bob"}});
  start(config);
  std::vector<OutcomePtr> all;
  for (int i = 0; i < 8; ++i) {
    all.push_back(ask<&kill_myself>("bob"));
    all.push_back(ask<&process_id>("alice"));
  }
  ASSERT_TRUE(run_until(
      context_,
      [&] {
        const auto status = scheduler_->status();
        EXPECT_LE(status.leased + status.coming, 2U);
        EXPECT_TRUE(status.differences.empty());
        EXPECT_LE(status.requesters[0].held + status.requesters[0].coming, 1U) << "her quota";
        return std::all_of(all.begin(), all.end(), [](const auto& o) { return o->ended; });
      },
      60s));
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i]->failure != nullptr, i % 2 == 0) << i;
  }
  expect_at_rest(8, 8);
  EXPECT_EQ(pool_->status().deaths.lost, 8U);
}

// The victim's process never looks: it is killed when the grace is over, and hired anew.
TEST_F(WorkerDeath, ByPreemptionIsToldAndTheWorkerIsRehired) {
  SchedulerConfig config = of({{"alice", 1, 5}, {"bob"}}, SchedulingPolicy::priority);
  config.preemption.grace = 50ms;
  start(config);
  WorkerRequest request;
  request.preemptible = true;
  const auto victim = ask<&never_look>("bob", request);
  ASSERT_TRUE(run_until(context_, [&] { return victim->pid != 0; }, 60s));
  const auto taker = ask<&process_id>("alice");
  const auto after = ask<&process_id>("bob");
  run_to_end(victim);
  try {
    if (victim->failure) std::rethrow_exception(victim->failure);
    ADD_FAILURE() << "it lived";
  } catch (const WorkerPreemptedError& e) {
    EXPECT_EQ(e.by(), "alice");
    EXPECT_THAT(e.what(), HasSubstr("its priority is 5, that of the lease 0"));
  }
  run_to_end(taker);
  EXPECT_FALSE(taker->failure);
  EXPECT_NE(taker->pid, victim->pid);
  run_to_end(after);
  EXPECT_FALSE(after->failure);
  EXPECT_EQ(after->pid, taker->pid) << "a worker that ended well is not replaced";
  expect_at_rest(1, 2);
  const auto status = scheduler_->status();
  EXPECT_EQ(status.requesters[1].preempted, 1U);
  EXPECT_EQ(status.requesters[0].preempting, 1U);
  EXPECT_EQ(pool_->status().spawns, 2U) << "the victim's process and one instead of it";
}

}  // namespace
}  // namespace reeve::test
