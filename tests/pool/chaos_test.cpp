// Everything at once against one pool, for a while (scenario 63): the audit's invariant holds and
// nothing is left. The seed decides what is done; the machine decides when.
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <random>
#include <reeve/audit.hpp>
#include <set>

#include "process/protocol.hpp"
#include "tests/pool/scenario_support.hpp"

namespace reeve::test {
namespace {

std::size_t sum_of(const std::vector<int>& values) {
  std::size_t sum = 0;
  for (const int value : values) sum += static_cast<std::size_t>(value);
  return sum;
}
int leave(int status) {
  _exit(status);
}
int give_up(int) {
  throw std::out_of_range("gave up");
}
/// A child, of a session of its own, or a daemon. If its warden is killed nobody looks for it: it
/// ends by itself then, later than this test looks.
int leave_a_kid(int kind) {
  prctl(PR_SET_NAME, "reeve-kid");  // a kid may be stopped before it could take a name itself
  if (fork() == 0) {
    if (kind > 0) setsid();
    if (kind > 1 && fork() != 0) _exit(0);
    alarm(12);
    for (;;) pause();
  }
  prctl(PR_SET_NAME, process::worker_name);
  return kind;
}
int eat_memory(int mebibytes) {
  std::vector<std::vector<char>> eaten;
  for (int i = 0; i < mebibytes; ++i) eaten.emplace_back(1u << 20, 'x');
  return static_cast<int>(eaten.size());
}
int square(int x) {
  return x * x;
}

constexpr std::size_t most_workers = 5;

enum class Kind { processes, processes_and_wardens, threads };

ResourceConfig chaos_config(Kind kind) {
  ResourceConfig config;
  config.isolation = kind == Kind::threads ? Isolation::thread : Isolation::process;
  config.max_workers = most_workers;
  config.worker_timeout = 600ms;
  config.worker_memory = 256_MiB;
  config.acquire_timeout = 20s;
  config.waiter_count_max = 64;
  config.idle_timeout = 30ms;
  config.recycle.tasks_max = 40;
  config.output = kind == Kind::threads ? Output::inherit : Output::capture;
  config.audit_ring = 1 << 18;
  config.quarantine_max = 64;
  return config;
}

/// What is known of a run: what was done and how it ended.
class Chaos {
 public:
  Chaos(asio::io_context& context, Kind kind)
      : context_(context),
        kind_(kind),
        processes_(kind != Kind::threads),
        pool(context.get_executor(), chaos_config(kind)) {}

 private:
  asio::io_context& context_;
  const Kind kind_;
  const bool processes_;

 public:
  ResourcePool pool;
  std::mt19937 random{63};
  bool stop = false;
  int running = 0;
  std::map<std::string, std::uint64_t> done;
  std::vector<std::string> faults;
  std::multiset<std::string> doing;  ///< for whoever asks why a run does not end

  /// Something under way.
  struct Doing {
    Doing(Chaos& all, std::string what) : chaos(all), at(chaos.doing.insert(std::move(what))) {}
    ~Doing() { chaos.doing.erase(at); }
    Doing(const Doing&) = delete;
    Doing& operator=(const Doing&) = delete;

    Chaos& chaos;
    std::multiset<std::string>::iterator at;
  };

  std::string state() {
    std::string text = std::to_string(running) + " run: ";
    for (const std::string& what : doing) text += what + ", ";
    const PoolStatus status = pool.status();
    text += std::to_string(status.live_workers) + " live, " + std::to_string(status.active_tasks) +
            " leased, " + std::to_string(status.waiting) + " waiting";
    return text;
  }

  int pick(int below) { return static_cast<int>(random() % static_cast<unsigned>(below)); }
  void fault(std::string text) {
    if (faults.size() < 20) faults.push_back(std::move(text));
  }
  void expect(bool holds, const char* what) {
    if (!holds) fault(what);
  }

  asio::awaitable<void> act_for_ever() {
    ++running;
    while (!stop) {
      std::string how = "well";
      try {
        co_await act();
      } catch (const WorkerTimeoutError&) {
        how = "timeout";
      } catch (const WorkerMemoryError&) {
        how = "memory";
      } catch (const WorkerCrashedError&) {
        how = "crashed";
      } catch (const WorkerLostError&) {
        how = "lost";
      } catch (const AcquireTimeoutError&) {
        how = "acquire timeout";
      } catch (const PoolDegradedError&) {
        how = "degraded";
      } catch (const PoolSaturatedError&) {
        how = "saturated";
      } catch (const std::out_of_range&) {
        how = "exception";
      } catch (const std::exception& e) {
        fault(std::string("an error that nobody expects: ") + e.what());
      }
      ++done[how];
      co_await asio::post(asio::use_awaitable);
    }
    --running;
  }

  /// Once in a while: what happens to pools from outside.
  asio::awaitable<void> disturb_for_ever() {
    ++running;
    while (!stop) {
      try {
        co_await disturb_once();
      } catch (const std::exception& e) {
        fault(std::string("a disturbance ends with: ") + e.what());
      }
      co_await pause_for(std::chrono::milliseconds(pick(20)));
    }
    --running;
  }

 private:
  asio::awaitable<void> disturb_once() {
    const int what = pick(12);
    const Doing note(*this, "disturbance " + std::to_string(what));
    if (what < 6) co_await pool.resize(1 + static_cast<std::size_t>(pick(most_workers)));
    const PoolStatus status = pool.status();
    expect(status.active_tasks <= most_workers, "more leases than workers");
    expect(status.workers.size() < most_workers + 65, "slots grow without end");
    const int number = pick(static_cast<int>(status.workers.size()) + 1);
    if (processes_ && number < static_cast<int>(status.workers.size())) {
      disturb(status.workers[static_cast<std::size_t>(number)].pid, what);
    }
  }

  /// A child of the warden that is no worker yet is left alone: stopped there it would stay when
  /// the warden is killed.
  void disturb(int pid, int what) {
    const auto is_called = [](int process, const char* name) {
      return process > 1 && read_text("/proc/" + std::to_string(process) + "/comm") == name;
    };
    if (!is_called(pid, "reeve-worker\n")) return;
    const int warden = parent_pid(pid);
    if (what == 6) kill(pid, SIGKILL), ++done["worker killed"];
    if (what == 7) kill(pid, SIGSTOP), ++done["worker stopped"];
    if (what == 8 && kind_ == Kind::processes_and_wardens && is_called(warden, "reeve-warden\n"))
      kill(warden, SIGKILL), ++done["warden killed"];
  }

  asio::awaitable<void> act() {
    const int what = pick(100);
    const int number = pick(1000);
    const Doing note(*this, "act " + std::to_string(what));
    if (what < 30) {
      co_await call_often(number);
    } else if (what < 40) {
      co_await carry(static_cast<std::size_t>(1 + pick(300'000)));
    } else if (what < 50) {
      co_await run_out_of_time();
    } else if (what < 60) {
      co_await cancel_in_time(pick(4000));
    } else if (what < 66) {
      co_await wait_briefly();
    } else if (what < 72) {
      co_await give_up_a_lease(number);
    } else if (what < 77) {
      co_await call_once<&give_up>(pool, "throws", number);
    } else if (what < 80) {
      co_await map_some();
    } else if (processes_) {
      co_await misbehave(what, number);
    }
  }

  asio::awaitable<void> call_often(int number) {
    auto worker = co_await pool.acquire_worker("calls");
    for (int i = 0; i < 1 + number % 8; ++i) {
      const int sum = co_await worker.run<&add>(number, i);
      expect(sum == number + i, "the result of another call");
    }
  }

  asio::awaitable<void> carry(std::size_t count) {
    auto worker = co_await pool.acquire_worker("carries");
    const std::vector<int> values(count, 3);
    const std::size_t sum = co_await worker.run<&sum_of>(values);
    expect(sum == 3 * count, "the sum of other values");
  }

  asio::awaitable<void> run_out_of_time() {
    auto worker = co_await pool.acquire_worker("late");
    const int time = 1 + pick(6);
    const int slept = co_await worker.run<&nap>(RunLimits(4ms), time);
    expect(slept == time, "the nap of another");
  }

  asio::awaitable<void> cancel_in_time(int after_us) {
    asio::cancellation_signal signal;
    bool ended = false;
    auto call = call_once<&nap>(pool, "cancelled", 2);
    asio::co_spawn(context_, std::move(call),
                   asio::bind_cancellation_slot(signal.slot(),
                                                [&](std::exception_ptr, int) { ended = true; }));
    asio::steady_timer timer(context_, std::chrono::microseconds(after_us));
    co_await timer.async_wait(asio::use_awaitable);
    signal.emit(asio::cancellation_type::terminal);
    while (!ended) co_await asio::post(asio::use_awaitable);
  }

  asio::awaitable<void> wait_briefly() {
    AcquireOptions options;
    options.timeout = std::chrono::milliseconds(1 + pick(3));
    options.priority = pick(3);
    auto worker = co_await pool.acquire_worker("impatient", options);
    const int sum = co_await worker.run<&add>(1, 2);
    expect(sum == 3, "the result of another call");
  }

  asio::awaitable<void> give_up_a_lease(int number) {
    auto lease = pool.try_acquire("gives up");
    if (!lease) co_return;
    if (number % 3 == 0) std::move(*lease).discard();
    if (number % 3 == 1) auto call = lease->run<&nap>(1);  // never made
    if (number % 3 == 2) co_await pause_for(1ms);
  }

  asio::awaitable<void> map_some() {
    std::vector<int> items(50);
    for (int i = 0; i < 50; ++i) items[static_cast<std::size_t>(i)] = i;
    MapOptions options;
    options.workers = 2;
    const codec::FunctionConstant<&square> f;
    const auto squares = co_await parallel_map(pool, "maps", f, items, options);
    for (int i = 0; i < 50; ++i)
      expect(squares[static_cast<std::size_t>(i)] == i * i, "the square of another");
  }

  asio::awaitable<void> misbehave(int what, int number) {
    auto worker = co_await pool.acquire_worker("misbehaves");
    if (what < 86) {
      co_await worker.run<&leave>(number % 4);
    } else if (what < 92) {
      co_await worker.run<&crash>();
    } else if (what < 96) {
      co_await worker.run<&leave_a_kid>(number % 3);
    } else if (what < 98) {
      co_await worker.run<&eat_memory>(sanitized ? 1 : 400);
    } else {
      RunLimits limits(20ms);
      limits.soft_timeout = 3ms;
      co_await worker.run<&work_until_stopped>(limits);
    }
  }
};

std::size_t open_files() {
  const std::filesystem::directory_iterator files("/proc/self/fd"), end;
  return static_cast<std::size_t>(std::distance(begin(files), end));
}

audit::Report verify_trail(const ResourcePool& pool, bool complete) {
  const std::vector<audit::Event> events = pool.audit_events();
  audit::VerifyOptions options;
  options.from_start = events.empty() || events.front().sequence == 1;
  options.complete = complete;
  return audit::verify(events, options);
}

void run_chaos(Kind kind, std::chrono::seconds time) {
  Mark mark;
  asio::io_context context;
  run_in(context, pause_for(1ms));  // the context has its own descriptors by now
  const std::size_t files_before = open_files();
  {
    Chaos chaos(context, kind);
    for (int i = 0; i < 12; ++i) spawn(context, chaos.act_for_ever());
    spawn(context, chaos.disturb_for_ever());
    const auto until = Clock::now() + time;
    auto next_look = Clock::now() + 10s;
    while (Clock::now() < until && chaos.faults.empty()) {
      context.restart();
      context.run_for(50ms);
      if (Clock::now() < next_look) continue;
      next_look = Clock::now() + 10s;
      const audit::Report report = verify_trail(chaos.pool, false);
      EXPECT_TRUE(report.ok()) << report.text();
      if (!report.ok()) break;
    }
    chaos.stop = true;
    EXPECT_TRUE(run_until(
        context, [&] { return chaos.running == 0; }, 40s))
        << "somebody hangs: " << chaos.state();
    EXPECT_THAT(chaos.faults, testing::IsEmpty());
    EXPECT_TRUE(run_until(context, [&] { return chaos.pool.status().active_tasks == 0; }));
    EXPECT_EQ(chaos.pool.status().waiting, 0u);
    run_in(context, chaos.pool.resize(most_workers));
    run_in(context, pause_for(300ms));  // a pool that could not start workers tries again
    expect_pool_works(context, chaos.pool);
    const ShutdownReport end = run_in(context, chaos.pool.shutdown(ShutdownMode::drain, 10s));
    EXPECT_FALSE(end.deadline_reached);
    const audit::Report report = verify_trail(chaos.pool, kind != Kind::threads);
    EXPECT_TRUE(report.ok()) << report.text();
    std::string ends;
    for (const auto& [how, count] : chaos.done) ends += " " + how + " " + std::to_string(count);
    std::printf("[ figures  ] chaos for %lld s:%s; %llu workers started\n",
                static_cast<long long>(time.count()), ends.c_str(),
                static_cast<unsigned long long>(chaos.pool.status().spawns));
  }
  context.restart();
  context.run_for(20ms);
  EXPECT_EQ(open_files(), files_before);
  EXPECT_TRUE(mark.gone_within(5s, "reeve-worker"));
  EXPECT_TRUE(mark.gone_within(5s, "reeve-warden"));
  if (kind == Kind::processes) {
    EXPECT_TRUE(mark.gone_within(5s));
  }
}

std::chrono::seconds chosen_time() {
  const char* text = std::getenv("REEVE_CHAOS_SECONDS");
  return std::chrono::seconds(text != nullptr ? std::atoi(text) : 3600);
}

// 63
TEST(PoolChaos, some_seconds_of_everything) {
  run_chaos(Kind::processes, 5s);
}
TEST(PoolChaos, some_seconds_of_everything_and_of_dying_wardens) {
  run_chaos(Kind::processes_and_wardens, 3s);
}
TEST(PoolChaos, some_seconds_of_everything_that_threads_survive) {
  run_chaos(Kind::threads, 2s);
}
TEST(PoolChaosFull, an_hour_of_everything) {
  run_chaos(Kind::processes_and_wardens, chosen_time() / 4);
  run_chaos(Kind::processes, chosen_time() * 3 / 4);
}

}  // namespace
}  // namespace reeve::test
