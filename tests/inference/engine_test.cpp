// The engine over real workers: one link one lease, failures that stay alone, files that survive a
// kill.
#include <reeve/inference/engine.hpp>

#include <signal.h>

#include <filesystem>
#include <random>
#include <reeve/audit.hpp>

#include "tests/inference/inference_test_support.hpp"
#include "tests/pool/pool_test_support.hpp"

namespace reeve::inference {
namespace {

using namespace reeve::test;
using test::quick;
using test::simulated;
using test::text_of;

ResourceConfig roomy_config() {
  ResourceConfig config = small_config();
  if (sanitized) config.worker_memory = 2_GiB;  // shadow memory counts, too
  return config;
}

struct EngineTest : ::testing::Test {
  asio::io_context context;
  ResourcePool pool{context.get_executor(), roomy_config()};
  BayesianInferenceEngine engine{pool};
};

TEST_F(EngineTest, InfersWhatThisProcessInfers) {
  const auto here = infer_here(simulated(3, 1));
  const auto there = run_in(context, engine.infer_mechanism(simulated(3, 1)));
  EXPECT_EQ(there.type(), "emax");
  EXPECT_EQ(there.device, "cpu");
  EXPECT_EQ(there.posterior_probability("emax"), here.posterior_probability("emax"));
  EXPECT_EQ(mcmc::stan_csv(there.run("emax"), 0), mcmc::stan_csv(here.run("emax"), 0));
  EXPECT_EQ(pool.status().grants, 1u);
}

TEST_F(EngineTest, RunsOnALeaseThatIsHeld) {
  const auto work = [](ResourcePool of) -> asio::awaitable<InferenceResult> {
    auto worker = co_await of.acquire_worker("mine");
    const CausalLink link = simulated(1, 1);
    const InferOptions options = quick();
    auto result = co_await run_mcmc_sampling(worker, link, options);
    EXPECT_EQ(result.worker, worker.id());
    co_return result;
  };
  EXPECT_EQ(run_in(context, work(pool)).type(), "linear");
}

TEST_F(EngineTest, BadInputNeedsNoWorker) {
  CausalLink link = simulated(1, 1);
  link.effect = "absent";
  EXPECT_THROW((void)engine.infer_mechanism(link), ConfigError);
  InferOptions options;
  options.chains = 0;
  EXPECT_THROW((void)engine.infer_mechanism(simulated(1, 1), options), ConfigError);
  std::vector<CausalLink> links{simulated(1, 1), link};
  const std::string text = text_of<ConfigError>([&] { (void)engine.infer_mechanisms(links); });
  EXPECT_NE(text.find("link 2 of 2"), std::string::npos) << text;
  EXPECT_NE(text.find("'absent'"), std::string::npos) << text;
  EXPECT_EQ(pool.status().spawns, 0u);
}

TEST_F(EngineTest, ManyLinksKeepTheirOrder) {
  std::vector<CausalLink> links;
  for (std::size_t i = 0; i < 12; ++i) links.push_back(simulated(i % 2, i));
  InferOptions options = quick();
  std::size_t calls = 0, last = 0;
  options.progress = [&](const LinkProgress& p) {
    ++calls;
    last = p.done;
    EXPECT_EQ(p.total, 12u);
    EXPECT_EQ(p.failed, 0u);
  };
  const auto outcomes = run_in(context, engine.infer_mechanisms(links, options));
  ASSERT_EQ(outcomes.size(), 12u);
  for (std::size_t i = 0; i < 12; ++i) {
    EXPECT_EQ(outcomes[i].link, name_of(links[i]));
    EXPECT_EQ(outcomes[i].value().type(), test::truths()[i % 2]) << outcomes[i].link;
    EXPECT_EQ(outcomes[i].error(), "");
  }
  EXPECT_EQ(calls, 12u);
  EXPECT_EQ(last, 12u);
  EXPECT_TRUE(run_in(context, engine.infer_mechanisms({}, options)).empty());
}

// A mechanism that crashes its worker where the data tell it to.
Mechanism crashing() {
  auto m = mechanism<1>("crashing", [](const auto& x, auto t) {
    if constexpr (std::is_same_v<std::decay_t<decltype(x)>, double>) {
      if (x > 0.999999) ::raise(SIGKILL);
    }
    return t[0] + 0.0 * x;
  });
  m.parameter("a", mcmc::normal(0, 1)).scale(CauseScale::raw);
  return m;
}

// Links of different options: one whose worker dies among others.
TEST_F(EngineTest, ACrashHurtsNoOtherLink) {
  std::vector<CausalLink> links;
  for (std::size_t i = 0; i < 6; ++i)
    links.push_back(simulated(1, i, 100, i == 2 ? 1 : 1e-3));  // only link 2 has x above 0.999999
  InferOptions options = quick();
  options.candidates.push_back(crashing());
  const auto outcomes = run_in(context, engine.infer_mechanisms(links, options));
  for (std::size_t i = 0; i < 6; ++i) {
    if (i == 2) {
      EXPECT_THROW(outcomes[i].value(), WorkerError);
      EXPECT_FALSE(outcomes[i].error().empty());
    } else {
      EXPECT_EQ(outcomes[i].error(), "") << i;
      EXPECT_EQ(outcomes[i].value().type(), "linear");
    }
  }
  expect_pool_works(context, pool);
}

TEST_F(EngineTest, TimeLimitKeepsTheDraws) {
  InferOptions options = quick();
  options.draws = 5'000'000;
  options.deadline = 200ms;
  const auto result = run_in(context, engine.infer_mechanism(simulated(1, 1), options));
  EXPECT_TRUE(result.report().deadline_reached);
  for (const auto& fit : result.fits()) {
    EXPECT_EQ(fit.status, mcmc::Status::deadline);
    EXPECT_GT(fit.diagnostics.draws, 100u);
  }
  EXPECT_EQ(pool.status().deaths.timeout, 0u) << "nobody had to be killed";
}

Mechanism hoarding() {
  auto m = mechanism<1>("hoarding", [](const auto& x, auto t) {
    static std::vector<std::string> hoard;
    hoard.emplace_back(1 << 16, 'x');
    return t[0] + 0.0 * x;
  });
  m.parameter("a", mcmc::normal(0, 1));
  return m;
}

TEST_F(EngineTest, MemoryLimitOfALink) {
  REEVE_SKIP_UNDER_SANITIZERS();
  InferOptions options = quick();
  options.candidates.push_back(hoarding());
  options.memory = 48_MiB;
  EXPECT_THROW(run_in(context, engine.infer_mechanism(simulated(1, 1), options)),
               WorkerMemoryError);
  expect_pool_works(context, pool);
}

TEST_F(EngineTest, DrawsThatNoWorkerCanHoldNeedNoWorker) {
  InferOptions options = quick();
  options.draws = 5'000'000;
  options.memory = 256_MiB;  // below the pool's, which sanitizers make larger
  const auto text = text_of<ConfigError>(
      [&] { run_in(context, engine.infer_mechanism(simulated(1, 1), options)); });
  EXPECT_NE(text.find("draws is 5000000"), std::string::npos) << text;
  EXPECT_NE(text.find("limit is 256 MiB"), std::string::npos) << text;
  options.memory = 48_MiB;
  const auto less = text_of<ConfigError>(
      [&] { run_in(context, engine.infer_mechanism(simulated(1, 1), options)); });
  EXPECT_NE(less.find("limit is 48 MiB"), std::string::npos) << less;
  // 4,000 draws of each of 50,000 rows: the table of a LOO.
  options = quick();
  options.draws = 1000;
  options.memory = 256_MiB;
  const CausalLink long_link = simulated(1, 1, 50'000);
  const auto loo =
      text_of<ConfigError>([&] { run_in(context, engine.infer_mechanism(long_link, options)); });
  EXPECT_NE(loo.find("draws is 1000"), std::string::npos) << loo;
  const auto many = text_of<ConfigError>(
      [&] { run_in(context, engine.infer_mechanisms({simulated(1, 1), long_link}, options)); });
  EXPECT_NE(many.find("link 2 of 2"), std::string::npos) << many;
  EXPECT_EQ(pool.status().grants, 0u);
}

// Whatever the options allow, a worker can hold: all in one worker, and split.
TEST_F(EngineTest, AsManyDrawsAsMemoryHolds) {
  REEVE_SKIP_UNDER_SANITIZERS();
  for (const Split split : {Split::never, Split::always}) {
    InferOptions options = quick();
    options.draws = 10'000'000;
    options.deadline = 20s;
    options.memory = 64_MiB;
    options.split = split;
    const auto result = run_in(context, engine.infer_mechanism(simulated(1, 1), options));
    for (const auto& fit : result.fits()) {
      EXPECT_EQ(fit.status, mcmc::Status::ok) << fit.mechanism;
      EXPECT_GT(fit.diagnostics.draws, 4 * 20'000u);
      ASSERT_FALSE(fit.reasons.empty());
      EXPECT_NE(fit.reasons.back().find("of 10000000 draws per chain"), std::string::npos);
    }
  }
}

TEST_F(EngineTest, LanesFollowAResize) {
  const std::vector<CausalLink> links{simulated(1, 1), simulated(1, 2), simulated(1, 3),
                                      simulated(1, 4), simulated(1, 5), simulated(1, 6)};
  const auto most_waiting = [&] {
    std::size_t most = 0;
    InferOptions options = quick();
    options.progress = [&](const LinkProgress&) {
      const auto status = pool.status();
      most = std::max(most, status.waiting + status.active_tasks);
    };
    run_in(context, engine.infer_mechanisms(links, options));
    return most;
  };
  EXPECT_LE(most_waiting(), 3u) << "two workers and one more";
  run_in(context, pool.resize(1));
  EXPECT_LE(most_waiting(), 2u);
  run_in(context, pool.resize(4));
  EXPECT_GE(most_waiting(), 4u);
}

std::string draws_of(const InferenceResult& result) {
  std::string all;
  for (const auto& fit : result.fits())
    for (std::size_t chain = 0; chain < 4; ++chain)
      all += mcmc::stan_csv(result.run(fit.mechanism), chain);
  return all;
}

// kill -9 at random times; each new attempt goes on from the files of the one before.
TEST_F(EngineTest, KilledWorkersGoOnToTheSameBytes) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("reeve-resume-" + std::to_string(::getpid()));
  InferOptions options = quick();
  options.draws = 12'000;
  options.keep = KeepDraws::all;
  options.loo = LooOf::none;
  const CausalLink link = simulated(1, 7);
  const std::string whole = draws_of(run_in(context, engine.infer_mechanism(link, options)));

  options.checkpoint_folder = folder.string();
  options.checkpoint_every = 1000;
  options.retries = 100;
  bool over = false;
  std::size_t kills = 0;
  const auto killer = [&]() -> asio::awaitable<void> {
    asio::steady_timer timer(context);
    std::mt19937 random(std::random_device{}());
    while (!over && kills < 4) {
      timer.expires_after(std::chrono::milliseconds(40 + random() % 60));
      co_await timer.async_wait(asio::use_awaitable);
      for (const auto& worker : pool.status().workers)
        if (!over && worker.state == WorkerState::leased && worker.pid > 0) {
          ++kills;
          ::kill(worker.pid, SIGKILL);
        }
    }
  };
  spawn(context, killer());
  const auto result = run_in(context, engine.infer_mechanism(link, options));
  over = true;
  EXPECT_GT(kills, 0u);
  EXPECT_EQ(draws_of(result), whole) << kills << " kills";
  EXPECT_TRUE(std::filesystem::is_empty(folder));
  std::filesystem::remove_all(folder);
  run_until(context, [&] { return kills >= 4 || over; }, 500ms);
}

std::size_t leased(const ResourcePool& pool) {
  std::size_t count = 0;
  for (const auto& worker : pool.status().workers) count += worker.state == WorkerState::leased;
  return count;
}

// Links that sample for as long as they may.
struct Slow {
  Slow() {
    for (std::size_t i = 0; i < 4; ++i) links.push_back(simulated(1, i));
    options.draws = 10'000'000;
    options.deadline = 15s;
  }
  std::vector<CausalLink> links;
  InferOptions options = quick();
};

TEST_F(EngineTest, CancellingManyLinksFreesTheirWorkersAtOnce) {
  Slow slow;
  asio::cancellation_signal signal;
  std::exception_ptr ended;
  asio::co_spawn(context, engine.infer_mechanisms(slow.links, slow.options),
                 asio::bind_cancellation_slot(
                     signal.slot(), [&](std::exception_ptr e, const auto&) { ended = e; }));
  ASSERT_TRUE(run_until(context, [&] { return leased(pool) == 2; }));
  signal.emit(asio::cancellation_type::terminal);
  EXPECT_TRUE(run_until(context, [&] { return ended && leased(pool) == 0; }, 14s));
  EXPECT_GT(pool.status().deaths.cancelled, 0u) << "nobody waited for the links' own deadline";
  expect_pool_works(context, pool);
}

// The same at the first evaluation.
Mechanism crashing_at_once() {
  auto m = mechanism<1>("crashing at once", [](const auto& x, auto t) {
    if constexpr (requires { x.v; }) {
      for (int i = 0; i < std::decay_t<decltype(x)>::width; ++i)
        if (x.v[i] > 0.999999) ::raise(SIGKILL);
    }
    return t[0] + 0.0 * x;
  });
  m.parameter("a", mcmc::normal(0, 1)).scale(CauseScale::raw);
  return m;
}

TEST_F(EngineTest, AProgressThatThrowsCancelsTheLinksUnderWay) {
  Slow slow;
  slow.links.insert(slow.links.begin(), simulated(1, 9, 100, 1));
  auto& candidates = slow.options.candidates;
  candidates.insert(candidates.begin(), crashing_at_once());  // at the first link's large x
  for (std::size_t i = 1; i < slow.links.size(); ++i) slow.links[i] = simulated(1, i, 100, 1e-3);
  slow.options.progress = [](const LinkProgress&) { throw std::logic_error("enough"); };
  const auto from = std::chrono::steady_clock::now();
  EXPECT_THROW(run_in(context, engine.infer_mechanisms(slow.links, slow.options)),
               std::logic_error);
  EXPECT_LT(seconds_since(from), 14) << "nobody waits for the links' own deadline of 15 s";
  EXPECT_TRUE(run_until(context, [&] { return leased(pool) == 0; }, 2s));
  expect_pool_works(context, pool);
}

TEST_F(EngineTest, AFileOfOtherOptionsIsRefusedAsInThisProcess) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("reeve-refused-" + std::to_string(::getpid()));
  InferOptions options = quick();
  options.draws = 200'000;
  options.deadline = 30ms;
  options.checkpoint_folder = folder.string();
  const CausalLink link = simulated(1, 1);
  ASSERT_TRUE(infer_here(link, options).report().deadline_reached);
  options.seed = 9;
  const std::string here = text_of<ConfigError>([&] { infer_here(link, options); });
  EXPECT_NE(here.find("seed = 1, and now it is 9"), std::string::npos) << here;
  const auto on_a_lease = [&](ResourcePool of) -> asio::awaitable<InferenceResult> {
    auto worker = co_await of.acquire_worker("mine");
    auto result = co_await run_mcmc_sampling(worker, link, options);
    co_return result;
  };
  const auto by_engine = [&] { run_in(context, engine.infer_mechanism(link, options)); };
  EXPECT_EQ(text_of<ConfigError>(by_engine), here);
  EXPECT_EQ(text_of<ConfigError>([&] { run_in(context, on_a_lease(pool)); }), here);
  std::filesystem::remove_all(folder);
}

TEST_F(EngineTest, LinksOfOneNameCannotShareCheckpoints) {
  InferOptions options = quick();
  const std::vector<CausalLink> links{simulated(1, 1), simulated(1, 2), simulated(1, 1)};
  EXPECT_EQ(run_in(context, engine.infer_mechanisms(links, options)).size(), 3u);
  const std::size_t spawns = pool.status().spawns, grants = pool.status().grants;
  options.checkpoint_folder = "/nowhere";
  const std::string text =
      text_of<ConfigError>([&] { (void)engine.infer_mechanisms(links, options); });
  EXPECT_NE(text.find("links 1 and 3 of 3"), std::string::npos) << text;
  EXPECT_NE(text.find("'linear 1'"), std::string::npos) << text;
  EXPECT_EQ(pool.status().spawns, spawns);
  EXPECT_EQ(pool.status().grants, grants);
}

TEST_F(EngineTest, TheBooksBalance) {
  std::vector<CausalLink> links;
  for (std::size_t i = 0; i < 5; ++i) links.push_back(simulated(1, i));
  const InferOptions options = quick();
  run_in(context, engine.infer_mechanisms(links, options));
  run_in(context, pool.shutdown());
  audit::VerifyOptions complete;
  complete.complete = true;
  const auto audit = audit::verify(pool.audit_events(), complete);
  EXPECT_TRUE(audit.ok()) << audit.text();
}

}  // namespace
}  // namespace reeve::inference
