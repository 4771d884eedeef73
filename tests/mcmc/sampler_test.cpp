// Samplers: stops, early stop, resume, awkward densities; only the test of kills takes real time.
#include <reeve/base/error.hpp>
#include <reeve/mcmc/diagnostics.hpp>
#include <reeve/mcmc/sampler.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/mcmc/models.hpp"
#include "tests/mcmc/standard_normal.hpp"
#include "tests/support/pch.hpp"

namespace reeve::mcmc {
namespace {

// Correlated, scales from 1e-3 to 1e3.
Density hard_normal() {
  return density<4>([](auto t) {
    using T = typename decltype(t)::value_type;
    const T a = t[0] * 1e3, b = (t[1] - 2.0) + 0.95 * a, c = t[2] * 1e-3 - b, d = t[3] * 0.1;
    return -0.5 * (a * a + b * b / 0.1 + c * c + d * d);
  });
}

void expect_same(const mcmc::Run& a, const mcmc::Run& b) {
  ASSERT_EQ(a.chains().size(), b.chains().size());
  for (std::size_t c = 0; c < a.chains().size(); ++c) {
    EXPECT_EQ(a.chains()[c].q, b.chains()[c].q);
    ASSERT_EQ(a.chains()[c].stats.size(), b.chains()[c].stats.size());
    for (std::size_t i = 0; i < a.chains()[c].stats.size(); ++i) {
      EXPECT_EQ(a.chains()[c].stats[i].lp, b.chains()[c].stats[i].lp);
      EXPECT_EQ(a.chains()[c].stats[i].energy, b.chains()[c].stats[i].energy);
    }
  }
}

struct Setup {
  Algorithm algorithm;
  Metric metric;
  Adaptation adaptation;
};
class EverySampler : public ::testing::TestWithParam<Setup> {
 protected:
  SampleOptions options() const {
    SampleOptions o;
    o.algorithm = GetParam().algorithm;
    o.metric = GetParam().metric;
    o.adaptation = GetParam().adaptation;
    return o;
  }
};

TEST_P(EverySampler, recovers_mean_and_variance) {
  SampleOptions o = options();
  o.draws = o.algorithm == Algorithm::random_walk ? 20000 : 2000;
  const auto run = sample(standard_normal(3), o);
  for (std::size_t p = 0; p < 3; ++p) {
    ChainDraws x = run.values(p);
    EXPECT_LT(std::abs(mean(x)) / mcse_mean(x), 4.5);
    for (auto& chain : x)
      for (double& v : chain) v *= v;
    EXPECT_LT(std::abs(mean(x) - 1) / mcse_mean(x), 4.5);
  }
  EXPECT_EQ(run.status(), Status::ok) << run.diagnostics().reasons[0];
}

TEST_P(EverySampler, checkpoint_and_resume_are_bit_identical_at_any_transition) {
  SampleOptions o = options();
  o.warmup = 120;
  o.draws = 60;
  const Density d = hard_normal();
  const auto whole = sample(d, o);
  Sampler pieces(d, o);
  Random random(9);
  std::string bytes;
  while (!pieces.advance({}, 1 + random.below(150))) {
    bytes = pieces.checkpoint();
    pieces = Sampler::resume(hard_normal(), bytes);
    EXPECT_EQ(pieces.checkpoint(), bytes);
  }
  expect_same(whole, pieces.result());
}

TEST_P(EverySampler, a_stop_within_a_trajectory_leaves_no_trace) {
  SampleOptions o = options();
  o.warmup = 80;
  o.draws = 40;
  const auto whole = sample(hard_normal(), o);
  ManualClock clock;
  const auto base = hard_normal();
  // Each evaluation takes a millisecond of the manual clock, so the poll looks after each.
  const auto slow = density(4, [&](std::span<const double> t, std::span<double> g) {
    clock.advance(std::chrono::milliseconds(1));
    return base.evaluate(t, g);
  });
  const auto slow_value = value_density(Parameters(4), [&](std::span<const double> t) {
    clock.advance(std::chrono::milliseconds(1));
    return base.value(t);
  });
  const Density& d = o.algorithm == Algorithm::random_walk ? slow_value : slow;
  // Longer than the longest trajectory, or an interrupted one would start for ever.
  const auto limit_per_call = std::chrono::milliseconds(o.algorithm == Algorithm::nuts ? 1100 : 97);
  Sampler sampler(d, o);
  int stops = 0;
  for (;; ++stops) {
    ASSERT_LT(stops, 5000);
    const auto limit = clock.now() + limit_per_call;
    if (sampler.advance(StopWhen(limit_per_call, clock))) break;
    EXPECT_EQ(sampler.stopped(), Status::deadline);
    EXPECT_LE(clock.now(), limit + std::chrono::milliseconds(1))
        << "overshoot of more than a gradient";
  }
  EXPECT_GT(stops, 0);
  expect_same(whole, sampler.result());
}

INSTANTIATE_TEST_SUITE_P(
    All, EverySampler,
    ::testing::Values(Setup{Algorithm::nuts, Metric::dense, Adaptation::fisher},
                      Setup{Algorithm::nuts, Metric::diagonal, Adaptation::fisher},
                      Setup{Algorithm::nuts, Metric::unit, Adaptation::fisher},
                      Setup{Algorithm::nuts, Metric::dense, Adaptation::stan},
                      Setup{Algorithm::nuts, Metric::diagonal, Adaptation::stan},
                      Setup{Algorithm::hmc, Metric::dense, Adaptation::fisher},
                      Setup{Algorithm::random_walk, Metric::automatic, Adaptation::fisher}));

TEST(Sampler, a_deadline_keeps_the_draws) {
  ManualClock clock;
  const auto d = density(2, [&](std::span<const double> t, std::span<double> g) {
    clock.advance(std::chrono::milliseconds(1));
    g[0] = -t[0], g[1] = -t[1];
    return -0.5 * (t[0] * t[0] + t[1] * t[1]);
  });
  const auto run = sample(d, {}, StopWhen(std::chrono::seconds(10), clock));
  EXPECT_EQ(run.status(), Status::deadline);
  EXPECT_GT(run.draws(), 100u);
  EXPECT_LT(run.draws(), 1000u);
}

TEST(Sampler, a_stop_request_cancels_and_keeps_the_draws) {
  std::stop_source source;
  int calls = 0;
  const auto d = density(2, [&](std::span<const double> t, std::span<double> g) {
    if (++calls == 5000) source.request_stop();
    g[0] = -t[0], g[1] = -t[1];
    return -0.5 * (t[0] * t[0] + t[1] * t[1]);
  });
  const auto run = sample(d, {}, StopWhen(source.get_token()));
  EXPECT_EQ(run.status(), Status::cancelled);
  EXPECT_LE(calls, 5001);
  EXPECT_GT(run.draws(), 0u);
}

// The limit that is far away makes the poll ask its clock rarely, as gradients take no time.
TEST(Sampler, a_stop_request_is_noticed_within_one_gradient) {
  ManualClock clock;
  for (const auto algorithm : {Algorithm::nuts, Algorithm::hmc, Algorithm::random_walk})
    for (const bool limited : {false, true})
      for (const int after : {1, 2, 3, 5, 6, 20, 333, 1001, 5000}) {
        std::stop_source source;
        int calls = 0;
        const auto d = density(2, [&](std::span<const double> t, std::span<double> g) {
          if (++calls == after) source.request_stop();
          g[0] = -t[0], g[1] = -t[1];
          return -0.5 * (t[0] * t[0] + t[1] * t[1]);
        });
        SampleOptions o;
        o.algorithm = algorithm;
        StopWhen stop(source.get_token());
        stop.clock = &clock;
        if (limited) stop.deadline = clock.now() + std::chrono::hours(1);
        EXPECT_EQ(sample(d, o, stop).status(), Status::cancelled);
        EXPECT_LE(calls, after + 1) << int(algorithm) << limited;
      }
}

TEST(Sampler, any_length_of_the_warmup_works) {
  for (const auto& [algorithm, adaptation] : {std::pair{Algorithm::nuts, Adaptation::fisher},
                                              {Algorithm::nuts, Adaptation::stan},
                                              {Algorithm::hmc, Adaptation::fisher},
                                              {Algorithm::random_walk, Adaptation::fisher}})
    for (const std::size_t chains : {1u, 4u})
      for (std::size_t warmup = 1; warmup <= 40; ++warmup) {
        SampleOptions o;
        o.algorithm = algorithm;
        o.adaptation = adaptation;
        o.chains = chains;
        o.warmup = warmup;
        o.draws = 5;
        const auto run = sample(standard_normal(2), o);
        EXPECT_EQ(run.draws(), 5u) << warmup;
        EXPECT_EQ(run.warmup, warmup);
      }
}

TEST(Sampler, stops_early_at_the_target_ess) {
  SampleOptions o;
  o.target_ess = 400;
  o.draws = 5000;
  const auto run = sample(standard_normal(5), o);
  EXPECT_LT(run.draws(), 500u);
  EXPECT_GE(run.diagnostics().min_ess_tail, 400);
  EXPECT_GE(run.diagnostics().min_ess_bulk, 400);
}

TEST(Sampler, chains_do_not_depend_on_how_many_draws_are_taken_together) {
  SampleOptions o;
  o.draws = 100;
  const auto run = sample(standard_normal(2), o);
  Sampler one_by_one(standard_normal(2), o);
  while (!one_by_one.advance({}, 1)) {
  }
  expect_same(run, one_by_one.result());
}

TEST(Sampler, chains_apart_give_the_draws_of_chains_together) {
  for (const auto adaptation : {Adaptation::fisher, Adaptation::stan}) {
    SampleOptions o;
    o.draws = 80;
    o.warmup = 150;
    o.adaptation = adaptation;
    const auto together = sample(hard_normal(), o);
    Sampler warm(hard_normal(), o);
    EXPECT_THROW(warm.advance_chain(0), ConfigError);
    while (!warm.advance_warmup({}, 7)) {
    }
    const std::string bytes = warm.checkpoint();
    Sampler whole = Sampler::resume(hard_normal(), bytes);
    for (const std::size_t c : {2u, 0u, 3u, 1u}) {
      Sampler one = Sampler::resume(hard_normal(), bytes);
      while (!one.advance_chain(c, {}, 13)) {
      }
      EXPECT_FALSE(whole.finished());
      whole.take_chain(Sampler::resume(hard_normal(), one.checkpoint()), c);
    }
    EXPECT_TRUE(whole.finished());
    expect_same(together, whole.result());
    EXPECT_THROW(whole.advance_chain(4), ConfigError);
    // A part of the chains apart, the rest together.
    Sampler mixed = Sampler::resume(hard_normal(), bytes);
    mixed.advance({}, 11);
    EXPECT_FALSE(mixed.advance_chain(1, {}, 30));
    EXPECT_TRUE(mixed.advance_chain(3));
    EXPECT_TRUE(mixed.advance());
    expect_same(together, mixed.result());
  }
}

TEST(Sampler, awkward_densities_give_a_status_or_a_clear_error) {
  const auto flat = density(2, [](std::span<const double>, std::span<double> g) {
    g[0] = g[1] = 0;
    return 0.0;
  });
  SampleOptions o;
  o.draws = 50;
  o.max_depth = 6;
  EXPECT_EQ(sample(flat, o).status(), Status::not_converged);

  const auto improper = density<2>([](auto t) { return 0.1 * t[0] - 0.5 * t[1] * t[1]; });
  EXPECT_EQ(sample(improper, o).status(), Status::not_converged);

  const auto not_a_number = density<1>([](auto t) { return t[0] * std::nan(""); });
  EXPECT_THROW(sample(not_a_number, o), Error);
  const auto infinite = density<1>([](auto t) { return t[0] * 0.0 + INFINITY; });
  EXPECT_THROW(sample(infinite, o), Error);
  const auto outside = density<1>([](auto t) {
    if (true) throw std::domain_error("nowhere");
    return t[0];
  });
  EXPECT_THROW(sample(outside, o), Error);
  const auto throwing = density<1>([](auto t) {
    if (t[0] > 0.5) throw std::runtime_error("of the user");
    return -0.5 * t[0] * t[0];
  });
  EXPECT_THROW(sample(throwing, o), std::runtime_error);

  // NaN in a part of the space is outside of the support: a truncated normal.
  SampleOptions longer;
  const auto partly =
      density<1>([](auto t) { return t[0] > -3.0 ? -0.5 * t[0] * t[0] : t[0] * std::nan(""); });
  const auto run = sample(partly, longer);
  EXPECT_LT(rhat(run.values(0)), 1.05);

  // Two modes, 10 sd apart.
  const auto bimodal = density<1>(
      [](auto t) { return log_sum_exp(-0.5 * square(t[0] - 5.0), -0.5 * square(t[0] + 5.0)); });
  longer.init_radius = 8;
  longer.seed = 3;
  EXPECT_EQ(sample(bimodal, longer).status(), Status::not_converged);
}

TEST(Sampler, one_and_two_hundred_parameters) {
  EXPECT_EQ(sample(standard_normal(1)).status(), Status::ok);
  SampleOptions o;
  o.warmup = 300;
  o.draws = 500;
  EXPECT_EQ(sample(standard_normal(200), o).status(), Status::ok);
}

TEST(Sampler, a_round_posterior_gets_steps_that_turn_in_three_leapfrogs) {
  SampleOptions o;
  const auto leapfrogs = [&](const Density& d) {
    const auto run = sample(d, o);
    EXPECT_EQ(run.status(), Status::ok);
    return double(run.diagnostics().leapfrogs) / double(run.diagnostics().draws);
  };
  EXPECT_LT(leapfrogs(standard_normal(10)), 4);
  EXPECT_LT(leapfrogs(hard_normal()), 4);
  o.target_accept = 0.8;  // what is asked for is done
  EXPECT_GT(leapfrogs(standard_normal(10)), 5);
}

TEST(Sampler, warmup_waits_for_a_chain_that_is_far_out_and_the_metric_ignores_it) {
  const auto heavy = density<1>([](auto t) {  // Student, 4 degrees of freedom: no pull far out
    using std::log1p;
    return -2.5 * log1p(t[0] * t[0] / 4.0);
  });
  const auto run = [&](double start, std::size_t warmup) {
    SampleOptions o;
    o.warmup = warmup;
    Sampler sampler(heavy, o);
    sampler.start_at(std::vector<double>{0, 0.5, -0.5, start});
    sampler.advance();
    return sampler.result();
  };
  EXPECT_EQ(run(1, 0).warmup, 150u);
  EXPECT_EQ(run(1e8, 150).warmup, 150u);
  const auto far = run(1e8, 0);
  EXPECT_EQ(far.warmup, 600u);
  EXPECT_EQ(far.status(), Status::not_converged);
  EXPECT_LT(far.inverse_metric[0][0], 20);
  EXPECT_EQ(far.draws(), 1000u);
}

TEST(Sampler, options_are_checked) {
  SampleOptions o;
  o.chains = 0;
  EXPECT_THROW(sample(standard_normal(1), o), ConfigError);
  o = {};
  o.target_ess = 50;
  EXPECT_THROW(sample(standard_normal(1), o), ConfigError);
  o = {};
  o.target_accept = 1;
  EXPECT_THROW(sample(standard_normal(1), o), ConfigError);
  o = {};
  o.max_depth = UINT32_MAX;  // and no memory is asked for
  EXPECT_THROW(sample(standard_normal(1), o), ConfigError);
  EXPECT_THROW(sample(value_density(Parameters(1), [](auto t) { return -t[0] * t[0]; })),
               ConfigError);
}

// A real kill: integration with the kernel, so the waits are real and short.
TEST(Checkpoint, kill_at_a_random_time_then_resume_gives_the_same_draws) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("reeve_mcmc_" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  const std::string path = (folder / "chain.checkpoint").string();
  SampleOptions o;
  o.draws = 400;
  const auto whole = sample(hard_normal(), o);
  Random random(4);
  int kills = 0;
  for (; kills < 200; ++kills) {
    const pid_t child = ::fork();
    if (child == 0) {
      sample_resumable(hard_normal(), o, path, {}, 20);
      ::_exit(0);
    }
    ::usleep(static_cast<useconds_t>(500 + random.below(6000)));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    if (WIFEXITED(status) || kills == 5) break;
  }
  expect_same(whole, sample_resumable(hard_normal(), o, path, {}, 20));
  EXPECT_FALSE(std::filesystem::exists(path));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace reeve::mcmc
