// One coroutine per chunk; the pool decides which worker has it.
#include "pool_runner.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <exception>
#include <reeve/audit.hpp>
#include <reeve/pool.hpp>
#include <set>
#include <sstream>
#include <thread>

#include "fit.hpp"
#include "ordeal.hpp"
#include "table.hpp"

namespace study {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using namespace reeve::literals;
using SteadyClock = std::chrono::steady_clock;

double since(SteadyClock::time_point start) {
  return std::chrono::duration<double>(SteadyClock::now() - start).count();
}

// Runs in a worker.
BootstrapChunk compute_chunk(std::vector<double> x, std::vector<double> y, CurveKind kind,
                             std::uint64_t seed, int first, int count) {
  return bootstrap_chunk(std::move(x), std::move(y), kind, seed, first, count, [](double percent) {
    reeve::this_worker::report_progress(percent);
    return !reeve::this_worker::stop_requested();
  });
}

struct Portion {
  std::size_t item = 0;
  int first = 0;
  int count = 0;
  double percent = 0;
  double seconds = 0;
  reeve::WorkerId worker;
  BootstrapChunk chunk;
};

class Study {
 public:
  Study(std::span<const Case> cases, std::span<const LinkCase> links, const Plan& plan,
        StatusLine& status, CheckList& checks)
      : cases_(cases),
        links_(links),
        plan_(plan),
        status_(status),
        checks_(checks),
        inferred_(links.size()) {
    for (std::size_t item = 0; item < cases.size(); ++item) {
      for (int first = 0; first < plan.resamples; first += plan.chunk) {
        Portion portion;
        portion.item = item;
        portion.first = first;
        portion.count = std::min(plan.chunk, plan.resamples - first);
        portions_.push_back(std::move(portion));
      }
    }
  }

  asio::awaitable<void> run(reeve::ResourcePool pool);
  RunReport report(double pool_seconds);
  void rethrow() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  asio::awaitable<void> work(reeve::ResourcePool pool, std::size_t number);
  asio::awaitable<void> infer(reeve::ResourcePool pool, std::size_t number);
  asio::awaitable<void> suffer(reeve::ResourcePool pool, std::size_t number);
  asio::awaitable<void> close(reeve::ResourcePool pool);
  void show(const reeve::ResourcePool& pool);
  CaseResult result_of(std::size_t item);
  std::string ordeal_table() const;

  std::span<const Case> cases_;
  std::span<const LinkCase> links_;
  const Plan& plan_;
  StatusLine& status_;
  CheckList& checks_;
  std::vector<reeve::inference::InferenceResult> inferred_;
  std::size_t inferred_count_ = 0;
  std::vector<Portion> portions_;
  std::vector<Ordeal> ordeals_;
  std::vector<std::string> notes_;
  std::size_t left_ = 0;
  std::exception_ptr failure_;
  asio::steady_timer* tick_ = nullptr;
  SteadyClock::time_point start_ = SteadyClock::now();
};

asio::awaitable<void> Study::work(reeve::ResourcePool pool, std::size_t number) {
  Portion& portion = portions_[number];
  const Case& item = cases_[portion.item];
  reeve::WorkerLease lease = co_await pool.acquire_worker(item.name);
  const auto start = SteadyClock::now();
  portion.worker = lease.id();
  reeve::RunLimits limits;
  limits.progress = [&portion](double percent, std::string_view) { portion.percent = percent; };
  portion.chunk = co_await lease.run<&compute_chunk>(limits, item.x, item.y, item.kind, plan_.seed,
                                                     portion.first, portion.count);
  portion.percent = 100;
  portion.seconds = since(start);
}

// One link is one task: all its candidates and chains on one worker.
asio::awaitable<void> Study::infer(reeve::ResourcePool pool, std::size_t number) {
  reeve::inference::BayesianInferenceEngine engine(pool);
  const LinkCase& item = links_[number];
  const auto options = options_of(item);
  auto result = co_await engine.infer_mechanism(item.link, options);
  status_.print(fmt::format("{:>7.3f} s  {}: {}", since(start_), result.link(), result.type()));
  inferred_[number] = std::move(result);
  ++inferred_count_;
}

asio::awaitable<void> Study::suffer(reeve::ResourcePool pool, std::size_t number) {
  Ordeal ordeal = co_await run_ordeal(number, pool, checks_);
  status_.print(fmt::format("{:>7.3f} s  the {} task is over: {} after {:.3f} s", since(start_),
                            ordeal.task, ordeal.ended, ordeal.seconds));
  ordeals_.push_back(std::move(ordeal));
}

// All of them ask at once: the pool's queue is first come, first served, and the bad tasks stand
// between the others.
asio::awaitable<void> Study::run(reeve::ResourcePool pool) {
  const auto executor = co_await asio::this_coro::executor;
  asio::steady_timer tick(executor);
  tick_ = &tick;
  left_ = portions_.size() + ordeal_count + links_.size();
  const auto done = [this](std::exception_ptr failure) {
    if (failure && !failure_) failure_ = failure;
    if (--left_ == 0) tick_->cancel();
  };
  for (std::size_t i = 0; i < links_.size(); ++i) asio::co_spawn(executor, infer(pool, i), done);
  const std::size_t stride = portions_.size() / (2 * ordeal_count) + 1;
  for (std::size_t i = 0, bad = 0; i < portions_.size() || bad < ordeal_count; ++i) {
    if (i < portions_.size()) asio::co_spawn(executor, work(pool, i), done);
    if (i % stride == 0 && bad < ordeal_count) asio::co_spawn(executor, suffer(pool, bad++), done);
  }
  while (left_ > 0) {
    show(pool);
    tick.expires_after(50ms);
    boost::system::error_code ignored;
    co_await tick.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  show(pool);
  co_await close(pool);
}

asio::awaitable<void> Study::close(reeve::ResourcePool pool) {
  const auto busy = pool.status();
  std::vector<std::int64_t> pids;
  for (const auto& worker : busy.workers) {
    if (worker.pid != 0) pids.push_back(worker.pid);
  }
  const reeve::ShutdownReport report = co_await pool.shutdown();
  const auto events = pool.audit_events();
  const auto audit = reeve::audit::verify(events, {.complete = true});  // lint: trivial
  notes_.push_back("\naudit: " + audit.text());
  std::istringstream summary(reeve::audit::summary(events));
  for (std::string line; std::getline(summary, line);) notes_.push_back("  " + line);
  checks_.that("audit, every lease ended once and every worker died", audit.ok(), audit.text());
  const auto& deaths = busy.deaths;
  checks_.near("leases that ran out of time", static_cast<double>(deaths.timeout), 1, 0);
  checks_.near("leases that crashed", static_cast<double>(deaths.crashed), 1, 0);
  checks_.near("leases that were lost", static_cast<double>(deaths.lost), 0, 0);
  checks_.near("leases granted", static_cast<double>(busy.grants),
               static_cast<double>(portions_.size() + ordeal_count + links_.size()), 0);
  checks_.near("leases active at the end", static_cast<double>(busy.active_tasks), 0, 0);
  checks_.near("leases killed at shutdown", static_cast<double>(report.killed), 0, 0);
  checks_.near("worker processes left", static_cast<double>(alive(pids)), 0, 0);
}

void Study::show(const reeve::ResourcePool& pool) {
  double done = 0;
  std::size_t chunks = 0;
  for (const auto& portion : portions_) {
    done += portion.percent / 100 * portion.count / plan_.resamples;
    chunks += portion.percent >= 100;
  }
  const double share = done / static_cast<double>(cases_.size());
  constexpr int width = 10;
  const int full = static_cast<int>(share * width);
  const auto status = pool.status();
  status_.show(
      fmt::format("{:>6.2f} s [{:#>{}}{:->{}}] {:3.0f} % {}/{} chunks, {}/{} links, "
                  "{}/{} bad, {}/{} busy, {} wait",
                  since(start_), "", full, "", width - full, 100 * share, chunks, portions_.size(),
                  inferred_count_, links_.size(), ordeals_.size(), ordeal_count,
                  status.active_tasks, status.total_workers, status.waiting));
}

CaseResult Study::result_of(std::size_t item) {
  CaseResult result;
  std::vector<BootstrapChunk> chunks;
  std::set<std::uint32_t> slots;
  for (auto& portion : portions_) {
    if (portion.item != item) continue;
    result.seconds += portion.seconds;
    slots.insert(portion.worker.slot);
    chunks.push_back(std::move(portion.chunk));
  }
  for (const auto slot : slots)
    result.worker += fmt::format("{}w{}", result.worker.empty() ? "" : " ", slot);
  const Case& of = cases_[item];
  result.bootstrap = combine(fit_curve(of.kind, of.x, of.y).estimates, std::move(chunks));
  return result;
}

bool same(const BootstrapResult& a, const BootstrapResult& b) {
  const auto equal = [](const Interval& p, const Interval& q) {
    return p.estimate == q.estimate && p.error == q.error && p.lower == q.lower &&
           p.upper == q.upper;
  };
  return a.done == b.done && a.failures == b.failures &&
         std::equal(a.parameters.begin(), a.parameters.end(), b.parameters.begin(),
                    b.parameters.end(), equal);
}

std::string Study::ordeal_table() const {
  Table table({"bad task", "ended", "after s", "evidence"});
  for (const auto& ordeal : ordeals_) {
    table.add({ordeal.task, ordeal.ended, fmt::format("{:.3f}", ordeal.seconds), ordeal.evidence});
  }
  std::ostringstream out;
  out << '\n';
  table.print(out);
  std::string text = std::move(out).str();
  text.pop_back();  // the newline
  return text;
}

RunReport Study::report(double pool_seconds) {
  RunReport report;
  const auto start = SteadyClock::now();
  for (std::size_t item = 0; item < cases_.size(); ++item) {
    const Case& of = cases_[item];
    status_.show("the same figures in this process, to compare: " + of.name);
    report.cases.push_back(result_of(item));
    const auto alone = bootstrap_fit(of.x, of.y, of.kind, plan_.resamples, plan_.seed);
    checks_.that(of.name + ", figures of the workers and of this process",
                 same(report.cases.back().bootstrap, alone), "equal bit by bit");
  }
  for (std::size_t i = 0; i < links_.size(); ++i) {
    const auto& result = inferred_[i];
    status_.show("the same figures in this process, to compare: " + result.link());
    const auto alone = reeve::inference::infer_here(links_[i].link, options_of(links_[i]));
    checks_.that(result.link() + ", draws of the worker and of this process",
                 reeve::mcmc::stan_csv(result.run(result.type()), 0) ==
                     reeve::mcmc::stan_csv(alone.run(alone.type()), 0),
                 "equal bit by bit");
  }
  report.links = std::move(inferred_);
  report.notes.push_back(ordeal_table());
  report.notes.insert(report.notes.end(), notes_.begin(), notes_.end());
  report.notes.push_back(
      fmt::format("\n{} chunks, {} links and {} bad tasks took {:.2f} s in the pool; without the "
                  "bad tasks, in this process: {:.2f} s",
                  portions_.size(), links_.size(), ordeal_count, pool_seconds, since(start)));
  return report;
}

reeve::ResourceConfig make_config() {
  reeve::ResourceConfig config;
  config.max_workers = std::clamp(std::thread::hardware_concurrency(), 2u, 8u);
  config.worker_timeout = 60s;
  config.worker_memory = 256_MiB;
  config.acquire_timeout = 120s;
  return config;
}

RunReport run_in_pool(std::span<const Case> cases, std::span<const LinkCase> links,
                      const Plan& plan, StatusLine& status, CheckList& checks) {
  asio::io_context context;
  reeve::ResourcePool pool(context.get_executor(), make_config());
  Study study(cases, links, plan, status, checks);
  std::exception_ptr failure;
  const auto start = SteadyClock::now();
  asio::co_spawn(context, study.run(pool), [&](std::exception_ptr e) { failure = e; });
  context.run();
  if (failure) std::rethrow_exception(failure);
  study.rethrow();
  return study.report(since(start));
}

}  // namespace

Runner pool_runner() {
  return {"a pool of worker processes", &run_in_pool};
}

}  // namespace study
