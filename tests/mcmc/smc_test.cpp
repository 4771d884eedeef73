// Tempered SMC as an object: sweeps, stops, checkpoints, a kill.
#include <reeve/base/error.hpp>
#include <reeve/mcmc/smc.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include "tests/support/pch.hpp"

namespace reeve::mcmc {
namespace {

Density two_modes() {
  return value_density(Parameters(2), [](std::span<const double> t) {
    return log_sum_exp(-0.5 * square(t[0] + 4), -0.5 * square(t[0] - 4)) - 0.5 * t[1] * t[1];
  });
}

SmcOptions small() {
  SmcOptions o;
  o.particles = 200;
  o.islands = 3;
  return o;
}

void expect_same(const SmcResult& a, const SmcResult& b) {
  ASSERT_EQ(a.run.chains().size(), b.run.chains().size());
  for (std::size_t c = 0; c < a.run.chains().size(); ++c) {
    EXPECT_EQ(a.run.chains()[c].q, b.run.chains()[c].q);
    EXPECT_EQ(a.run.chains()[c].stats.back().lp, b.run.chains()[c].stats.back().lp);
  }
  EXPECT_EQ(a.log_evidence, b.log_evidence);
  EXPECT_EQ(a.se, b.se);
  EXPECT_EQ(a.temperatures, b.temperatures);
  EXPECT_EQ(a.run.warmup_leapfrogs, b.run.warmup_leapfrogs);
}

TEST(Smc, finds_both_modes_and_the_evidence) {
  const auto bimodal = value_density(Parameters(2), [](std::span<const double> t) {
    // 0.3 N(-5, 1) + 0.7 N(5, 1) in the first coordinate, times e^2
    return 2 - 2 * 0.91893853320467274178 - 0.5 * t[1] * t[1] +
           log_sum_exp(std::log(0.3) - 0.5 * square(t[0] + 5),
                       std::log(0.7) - 0.5 * square(t[0] - 5));
  });
  SmcOptions o;
  o.particles = 2000;
  const auto result = sample_smc(bimodal, o);
  EXPECT_NEAR(result.log_evidence, 2, 4 * result.se + 1e-3);
  EXPECT_LT(result.se, 0.2);
  double right = 0;
  for (const auto& chain : result.run.values(0))
    for (const double x : chain) right += x > 0;
  EXPECT_NEAR(right / 8000, 0.7, 0.06);
  EXPECT_EQ(result.temperatures.back(), 1);
  o.particles = 3;
  EXPECT_THROW(sample_smc(bimodal, o), ConfigError);
}

TEST(Smc, a_deadline_stops_it) {
  ManualClock clock;
  const auto slow = value_density(Parameters(1), [&](std::span<const double> t) {
    clock.advance(std::chrono::milliseconds(1));
    return -0.5 * t[0] * t[0];
  });
  const auto result = sample_smc(slow, {}, StopWhen(std::chrono::seconds(5), clock));
  EXPECT_EQ(result.run.status(), Status::deadline);
}

// Particles of a narrow normal that some islands do not reach with so few temperatures.
TEST(Smc, islands_that_are_missing_make_the_run_not_converged) {
  const auto narrow = value_density(Parameters(3), [](std::span<const double> t) {
    return -0.5 * 1200 * (t[0] * t[0] + t[1] * t[1] + t[2] * t[2]);
  });
  SmcOptions o;
  o.particles = 100;
  o.islands = 8;
  o.max_temperatures = 10;
  o.checks.ess_per_chain = 20;
  o.seed = 4;
  auto result = sample_smc(narrow, o);
  ASSERT_EQ(result.run.chains().size(), 5u);
  EXPECT_EQ(result.run.status(), Status::not_converged);
  ASSERT_EQ(result.run.diagnostics().reasons.size(), 1u);
  EXPECT_THAT(result.run.diagnostics().reasons[0], ::testing::HasSubstr("5 of 8 islands"));
  EXPECT_THAT(result.run.diagnostics().reasons[0], ::testing::HasSubstr("max_temperatures"));
  result.run.assess(o.checks);  // a second look does not forget it
  EXPECT_EQ(result.run.status(), Status::not_converged);

  o.max_temperatures = 3;
  const auto none = sample_smc(narrow, o);
  EXPECT_EQ(none.run.chains().size(), 0u);
  EXPECT_EQ(none.run.status(), Status::not_converged);
  EXPECT_TRUE(std::isnan(none.log_evidence));
  EXPECT_EQ(none.se, INFINITY);

  o.max_temperatures = 1000;
  SmcSampler sampler(narrow, o);
  while (sampler.result().run.chains().size() < 3) sampler.advance({}, 1);
  EXPECT_EQ(sampler.result().run.status(), Status::not_converged);
  sampler.advance();
  EXPECT_EQ(sampler.result().run.status(), Status::ok);
}

TEST(Smc, a_density_that_is_nowhere_finite_is_given_up_at_once) {
  int calls = 0;
  const auto nowhere = value_density(Parameters(1), [&](std::span<const double>) {
    ++calls;
    return -std::numeric_limits<double>::infinity();
  });
  const auto result = sample_smc(nowhere);
  EXPECT_EQ(result.run.status(), Status::not_converged);
  EXPECT_TRUE(std::isnan(result.log_evidence));
  EXPECT_EQ(calls, 1000);
}

TEST(Smc, a_stop_request_is_noticed_within_one_evaluation) {
  for (const int after : {1, 2, 100, 999, 1000, 1001, 1002, 5003}) {
    std::stop_source source;
    int calls = 0;
    const auto d = value_density(Parameters(1), [&](std::span<const double> t) {
      if (++calls == after) source.request_stop();
      return -0.5 * t[0] * t[0];
    });
    EXPECT_EQ(sample_smc(d, {}, StopWhen(source.get_token())).run.status(), Status::cancelled);
    EXPECT_LE(calls, after + 1);
  }
}

TEST(SmcCheckpoint, resume_after_every_sweep_is_bit_identical) {
  const auto whole = sample_smc(two_modes(), small());
  SmcSampler sampler(two_modes(), small());
  std::size_t sweeps = 1;
  while (!sampler.advance({}, 1)) {
    const std::string bytes = sampler.checkpoint();
    sampler = SmcSampler::resume(two_modes(), bytes);
    EXPECT_EQ(sampler.checkpoint(), bytes);
    ++sweeps;
  }
  EXPECT_GT(sweeps, 10u);
  expect_same(sampler.result(), whole);
}

TEST(SmcCheckpoint, a_stop_within_a_sweep_leaves_no_trace) {
  const auto whole = sample_smc(two_modes(), small());
  SmcSampler sampler(two_modes(), small());
  int stops = 0;
  for (int round = 0;; ++round) {
    std::stop_source source;  // asked for while a density is evaluated
    int left = 37 * (round % 11) + 5;
    const auto stopping = value_density(Parameters(2), [&](std::span<const double> t) {
      if (left >= 0 && left-- == 0) source.request_stop();
      return log_sum_exp(-0.5 * square(t[0] + 4), -0.5 * square(t[0] - 4)) - 0.5 * t[1] * t[1];
    });
    SmcSampler stopped = SmcSampler::resume(stopping, sampler.checkpoint());
    const bool ended = stopped.advance(StopWhen(source.get_token()));
    sampler = SmcSampler::resume(two_modes(), stopped.checkpoint());
    if (ended || sampler.advance({}, 2)) break;
    EXPECT_EQ(stopped.stopped(), Status::cancelled);
    ++stops;
  }
  EXPECT_GT(stops, 5);
  expect_same(sampler.result(), whole);
}

TEST(SmcCheckpoint, damage_and_strangers_are_refused) {
  SmcSampler sampler(two_modes(), small());
  sampler.advance({}, 5);
  const std::string bytes = sampler.checkpoint();
  EXPECT_THROW(SmcSampler::resume(two_modes(), "nonsense"), ConfigError);
  EXPECT_THROW(
      SmcSampler::resume(value_density(Parameters(3), [](auto t) { return -t[0]; }), bytes),
      ConfigError);
  EXPECT_THROW(Sampler::resume(two_modes(), bytes), ConfigError);
  for (const std::size_t at : {3ul, 50ul, bytes.size() / 2, bytes.size() - 1}) {
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
    EXPECT_THROW(SmcSampler::resume(two_modes(), damaged), ConfigError) << at;
    EXPECT_THROW(SmcSampler::resume(two_modes(), bytes.substr(0, at)), ConfigError) << at;
  }
  EXPECT_THROW(sample_smc_resumable(two_modes(), small(), "unused", {}, 0), ConfigError);
}

// A real kill: integration with the kernel, so the waits are real and short.
TEST(SmcCheckpoint, kill_at_a_random_time_then_resume_gives_the_same_bytes) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("reeve_smc_" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  const std::string path = (folder / "smc.checkpoint").string();
  const auto whole = sample_smc(two_modes(), small());
  Random random(4);
  for (int kills = 0; kills < 200; ++kills) {
    const pid_t child = ::fork();
    if (child == 0) {
      sample_smc_resumable(two_modes(), small(), path);
      ::_exit(0);
    }
    ::usleep(static_cast<useconds_t>(500 + random.below(6000)));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    if (WIFEXITED(status) || kills == 5) break;
  }
  expect_same(sample_smc_resumable(two_modes(), small(), path), whole);
  EXPECT_FALSE(std::filesystem::exists(path));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace reeve::mcmc
