// Coroutines that infer on a pool are destroyed after each of their steps: every frame goes, every
// lease comes back.
#include <reeve/inference/engine.hpp>

#include "tests/inference/inference_test_support.hpp"
#include "tests/inference/roomy_config.hpp"

namespace reeve::inference {
namespace {

using namespace reeve::test;
using test::quick;
using test::roomy_config;
using test::simulated;

using Token = std::shared_ptr<int>;  // one copy per living frame

constexpr int most_steps = 2000;

/// As little work as there can be: it is the way there and back that is tested.
InferOptions tiny() {
  InferOptions options = quick();
  options.candidates = {linear()};
  options.chains = 2;
  options.warmup = 30;
  options.draws = 100;
  options.loo = LooOf::none;
  return options;
}

asio::awaitable<void> one_link(ResourcePool pool, Split split, [[maybe_unused]] Token token,
                               int& ended) {
  BayesianInferenceEngine engine(pool);
  InferOptions options = tiny();
  options.split = split;
  const CausalLink link = simulated(1, 1, 20);
  auto inference = engine.infer_mechanism(link, options);
  const InferenceResult result = co_await std::move(inference);
  EXPECT_EQ(result.fits().size(), 1u);
  ++ended;
}

asio::awaitable<void> many_links(ResourcePool pool, Token token, int& ended) {
  BayesianInferenceEngine engine(pool);
  InferOptions options = tiny();
  options.concurrency = 3;  // one more than there are workers: somebody waits
  options.progress = [token](const LinkProgress&) {};
  std::vector<CausalLink> links;
  for (std::uint64_t i = 0; i < 4; ++i) links.push_back(simulated(1, i, 20));
  auto inference = engine.infer_mechanisms(links, options);
  const auto outcomes = co_await std::move(inference);
  for (const auto& outcome : outcomes) EXPECT_EQ(outcome.error(), "");
  ++ended;
}

asio::awaitable<void> on_a_lease(ResourcePool pool, [[maybe_unused]] Token token, int& ended) {
  auto worker = co_await pool.acquire_worker("mine");
  const CausalLink link = simulated(1, 1, 20);
  const InferOptions options = tiny();
  auto sampling = run_mcmc_sampling(worker, link, options);
  const InferenceResult result = co_await std::move(sampling);
  EXPECT_EQ(result.worker, worker.id());
  ++ended;
}

class InferenceTeardown : public ::testing::TestWithParam<Isolation> {
 protected:
  /// Starts the life in a context of its own, which goes after 0, 1, 2, ... handlers, until the
  /// life comes to its end; the pool's context stays.
  template <class Life>
  void after_each_step(Life life) {
    asio::io_context pools;
    ResourceConfig config = roomy_config();
    config.isolation = GetParam();
    config.quarantine_max = 1000;
    ResourcePool pool(pools.get_executor(), config);
    run_in(pools, pool.warm_up(2));
    const Token token = std::make_shared<int>(0);
    int ended = 0, steps = 0;
    for (; ended == 0 && steps < most_steps; ++steps) {
      {
        asio::io_context context;
        std::exception_ptr failure;
        asio::co_spawn(context, life(pool, token, ended), [&](std::exception_ptr thrown) {
          failure = thrown;
          ended += thrown != nullptr;
        });
        make_steps(context, pools, steps, ended);
        if (failure) std::rethrow_exception(failure);
      }
      ASSERT_FALSE(HasFatalFailure());
      ASSERT_EQ(token.use_count(), 1) << "a frame is left after " << steps << " steps";
      const auto settled = [&pool] {
        const PoolStatus status = pool.status();
        return status.active_tasks == 0 && status.waiting == 0 && status.available_workers == 2;
      };
      ASSERT_TRUE(run_until(pools, settled)) << "a lease is lost after " << steps << " steps";
    }
    EXPECT_EQ(ended, 1) << "not even the last run came to its end";
    EXPECT_GE(steps, 3);
    expect_pool_works(pools, pool);
  }

 private:
  static void make_steps(asio::io_context& context, asio::io_context& pools, int steps,
                         const int& ended) {
    const auto work = asio::make_work_guard(pools);  // an idle pool alone is not waited for
    const auto until = std::chrono::steady_clock::now() + 20s;
    for (int step = 0; step < steps && ended == 0;) {
      ASSERT_LT(std::chrono::steady_clock::now(), until) << "it hangs after " << step << " steps";
      context.restart();
      if (context.poll_one() > 0) {
        ++step;
      } else {
        pools.restart();
        pools.run_one_for(200us);
      }
    }
  }
};

TEST_P(InferenceTeardown, of_one_link_after_each_step_returns_its_lease) {
  after_each_step([](ResourcePool pool, Token token, int& ended) {
    return one_link(std::move(pool), Split::never, std::move(token), ended);
  });
}

TEST_P(InferenceTeardown, of_a_split_link_after_each_step_returns_its_leases) {
  after_each_step([](ResourcePool pool, Token token, int& ended) {
    return one_link(std::move(pool), Split::always, std::move(token), ended);
  });
}

TEST_P(InferenceTeardown, of_many_links_after_each_step_returns_their_leases) {
  after_each_step(&many_links);
}

TEST_P(InferenceTeardown, of_sampling_on_a_lease_after_each_step_returns_it) {
  after_each_step(&on_a_lease);
}

INSTANTIATE_TEST_SUITE_P(Isolation, InferenceTeardown,
                         ::testing::Values(Isolation::thread, Isolation::process),
                         [](const auto& test) {
                           return test.param == Isolation::thread ? "thread" : "process";
                         });

}  // namespace
}  // namespace reeve::inference
