// The simulator against published schedules and statistics, and its guarantees as properties.
#include "reeve/alloc/simulator.hpp"

#include <cmath>
#include <fstream>
#include <sstream>

#include "tests/alloc/data.hpp"
#include "tests/support/pch.hpp"

namespace reeve::alloc {
namespace {

Trace load(const std::string& path) {
  std::ifstream in(path);
  return read_swf(in).value();
}

// Ten windows of 1,024 jobs of the Lublin-1 trace, as the SC20 RLScheduler evaluation drew them.
double sc20(Order order, bool backfill) {
  const auto trace = load(data_file("lublin_256.swf"));
  double sum = 0;
  for (std::size_t start : {1981, 2756, 4299, 8850, 3316, 2714, 5228, 7762, 4022, 7085}) {
    SimulatorOptions o{.processors = 256, .order = order, .one_at_a_time = true};
    o.backfill = backfill ? Backfill::shadow_once : Backfill::none;
    sum += simulate(std::span(trace.jobs).subspan(start, 1024), o)->mean_bounded_slowdown;
  }
  return std::round(sum * 10) / 100;
}

TEST(SimulatorPublished, Sc20SlowdownsToTheDigit) {
  REEVE_NEEDS_DATA(data_file("lublin_256.swf"));
  EXPECT_DOUBLE_EQ(sc20(Order::fcfs, false), 7273.77);
  EXPECT_DOUBLE_EQ(sc20(Order::sjf, false), 277.35);
  EXPECT_DOUBLE_EQ(sc20(Order::f1, false), 258.37);
  EXPECT_DOUBLE_EQ(sc20(Order::fcfs, true), 235.82);
  EXPECT_DOUBLE_EQ(sc20(Order::sjf, true), 73.31);
  EXPECT_DOUBLE_EQ(sc20(Order::f1, true), 75.07);
}

Replay hpc2n(Order order, Backfill backfill, Order behind) {
  const auto trace = load(data_file("hpc2n.swf"));
  EXPECT_EQ(trace.jobs.size(), 3145u);
  return simulate(trace.jobs, {.processors = trace.processors,
                               .order = order,
                               .backfill = backfill,
                               .backfill_order = behind})
      .value();
}

void expect_hpc2n(const Replay& r, double wait, double slowdown, double utilisation) {
  EXPECT_NEAR(r.mean_wait, wait, 0.0005);
  EXPECT_NEAR(r.mean_bounded_slowdown, slowdown, 0.00005);
  EXPECT_NEAR(r.utilisation, utilisation, 0.00005);
}

TEST(SimulatorReference, Hpc2n) {
  REEVE_NEEDS_DATA(data_file("hpc2n.swf"));
  expect_hpc2n(hpc2n(Order::fcfs, Backfill::none, Order::fcfs), 5627.883, 47.4055, .3952);
  expect_hpc2n(hpc2n(Order::fcfs, Backfill::easy, Order::fcfs), 3547.940, 17.0629, .3973);
  expect_hpc2n(hpc2n(Order::sjf, Backfill::easy, Order::sjf), 2379.235, 12.2265, .3973);
  expect_hpc2n(hpc2n(Order::fcfs, Backfill::conservative, Order::fcfs), 3670.764, 17.3861, .3973);
}

struct Scheduled {
  Job job;
  Time start;
  std::string machines;
};

std::vector<Scheduled> read_batsim(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  std::vector<Scheduled> all;
  const auto ticks = [](const std::string& s) {
    return static_cast<Time>(std::llround(std::stod(s) * 1e6));
  };
  while (std::getline(in, line)) {
    std::vector<std::string> f;
    std::istringstream cells(line);
    for (std::string cell; std::getline(cells, cell, ',');) f.push_back(cell);
    all.push_back({{std::stol(f[0]), ticks(f[3]), ticks(f[8]), ticks(f[5]), std::stoi(f[4])},
                   ticks(f[7]),
                   f[14]});
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
    return std::pair(a.job.submit, a.job.id) < std::pair(b.job.submit, b.job.id);
  });
  return all;
}

std::string ranges(const std::vector<std::int32_t>& ids) {  // "0-3 7", as the reference writes them
  std::string text;
  for (std::size_t i = 0; i < ids.size();) {
    std::size_t k = i;
    while (k + 1 < ids.size() && ids[k + 1] == ids[k] + 1) ++k;
    if (!text.empty()) text += ' ';
    text += std::to_string(ids[i]);
    if (k > i) text.append("-").append(std::to_string(ids[k]));
    i = k + 1;
  }
  return text;
}

std::size_t batsim_matches(const char* file, Backfill backfill, Replan replan,
                           Replay* out = nullptr) {
  const auto all = read_batsim(data_file(file));
  EXPECT_EQ(all.size(), 801u);
  std::vector<Job> jobs;
  for (const auto& s : all) jobs.push_back(s.job);
  const auto r = simulate(jobs, {.processors = 32,
                                 .backfill = backfill,
                                 .placement = Placement::identified,
                                 .replan = replan})
                     .value();
  std::size_t same = 0;
  for (std::size_t i = 0; i < all.size(); ++i)
    same += std::abs(r.jobs[i].start - all[i].start) < 1000 &&
            ranges(r.jobs[i].machines) == all[i].machines;
  if (out) *out = r;
  return same;
}

TEST(SimulatorPublished, BatsimEasyEveryStartAndMachineSet) {
  const char* file = "batsim_medium_late/easy_out_jobs.csv";
  REEVE_NEEDS_DATA(data_file(file));
  Replay r;
  EXPECT_EQ(batsim_matches(file, Backfill::easy, Replan::rebuild, &r), 801u);
  EXPECT_NEAR(r.mean_wait, 9.516326, 1e-3);
  EXPECT_NEAR(r.max_wait, 316.742718, 1e-3);
}

TEST(SimulatorPublished, BatsimConservativeEveryStartAndMachineSet) {
  const char* file = "batsim_medium_late/conservative_out_jobs.csv";
  REEVE_NEEDS_DATA(data_file(file));
  Replay r;
  EXPECT_EQ(batsim_matches(file, Backfill::conservative, Replan::compress, &r), 801u);
  EXPECT_NEAR(r.mean_wait, 9.852251, 1e-3);
  EXPECT_LT(batsim_matches(file, Backfill::conservative, Replan::rebuild), 801u);
}

// How far estimates lie above the run, in seconds; below it when negative.
std::vector<Job> random_jobs(int least_slack = 0) {
  std::vector<Job> jobs;
  Time at = 0;
  const auto n = *rc::gen::inRange(1, 60);
  for (int i = 0; i < n; ++i) {
    at += seconds(*rc::gen::inRange(0, 20));
    const auto run = seconds(*rc::gen::inRange(1, 60));
    const auto estimate = std::max(seconds(1), run + seconds(*rc::gen::inRange(least_slack, 40)));
    jobs.push_back({i, at, run, estimate, *rc::gen::inRange(1, 9)});
  }
  return jobs;
}

void check_capacity(const std::vector<Job>& jobs, const Replay& r, int processors) {
  for (const auto& at : r.jobs) {
    int used = 0;
    for (std::size_t i = 0; i < jobs.size(); ++i)
      if (r.jobs[i].start <= at.start && at.start < r.jobs[i].finish) used += jobs[i].size;
    RC_ASSERT(used <= processors);
  }
  for (std::size_t i = 0; i < jobs.size(); ++i) RC_ASSERT(r.jobs[i].start >= jobs[i].submit);
  RC_ASSERT(r.utilisation <= 1 + 1e-9);
}

void check_every_rule(const std::vector<Job>& jobs) {
  for (auto backfill : {Backfill::none, Backfill::easy, Backfill::conservative, Backfill::hybrid})
    for (auto order : {Order::fcfs, Order::sjf, Order::f1})
      check_capacity(
          jobs, simulate(jobs, {.processors = 8, .order = order, .backfill = backfill}).value(), 8);
  check_capacity(jobs,
                 simulate(jobs, {.processors = 8, .placement = Placement::identified}).value(), 8);
  for (auto replan : {Replan::rebuild, Replan::compress})
    check_capacity(jobs,
                   simulate(jobs, {.processors = 8,
                                   .backfill = Backfill::conservative,
                                   .placement = Placement::identified,
                                   .replan = replan})
                       .value(),
                   8);
  check_capacity(
      jobs,
      simulate(jobs, {.processors = 8, .backfill = Backfill::shadow_once, .one_at_a_time = true})
          .value(),
      8);
}

RC_GTEST_PROP(Simulator, EveryRuleRespectsCapacityAndArrival, ()) {
  check_every_rule(random_jobs());
}

RC_GTEST_PROP(Simulator, AlsoWhereJobsOutliveTheirEstimates, ()) {
  check_every_rule(random_jobs(-60));
}

TEST(Simulator, AJobThatOutlivesItsEstimateKeepsItsProcessors) {
  const std::vector<Job> jobs{{1, 0, seconds(100), seconds(10), 9},
                              {2, seconds(20), seconds(5), seconds(5), 10}};
  for (auto backfill : {Backfill::none, Backfill::easy, Backfill::conservative}) {
    const auto r = simulate(jobs, {.processors = 10, .backfill = backfill}).value();
    EXPECT_EQ(r.jobs[1].start, seconds(100));
  }
  const auto killed = simulate(jobs, {.processors = 10,
                                      .backfill = Backfill::conservative,
                                      .placement = Placement::identified})
                          .value();
  EXPECT_EQ(killed.jobs[0].finish, seconds(10)) << "identified jobs end at their estimates";
  EXPECT_EQ(killed.jobs[1].start, seconds(20));
  EXPECT_DOUBLE_EQ(killed.utilisation, (90.0 + 50) / 250);
}

RC_GTEST_PROP(Simulator, IdentifiedMachinesNeverOverlap, ()) {
  const auto jobs = random_jobs();
  for (auto backfill : {Backfill::easy, Backfill::conservative}) {
    const auto r = simulate(jobs, {.processors = 8,
                                   .backfill = backfill,
                                   .placement = Placement::identified,
                                   .replan = Replan::compress})
                       .value();
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      RC_ASSERT(r.jobs[i].machines.size() == static_cast<std::size_t>(jobs[i].size));
      for (std::size_t k = 0; k < i; ++k) {
        if (r.jobs[i].start >= r.jobs[k].finish || r.jobs[k].start >= r.jobs[i].finish) continue;
        for (auto m : r.jobs[i].machines)
          RC_ASSERT(std::count(r.jobs[k].machines.begin(), r.jobs[k].machines.end(), m) == 0);
      }
    }
  }
}

// Every combination of rules that there is.
std::vector<SimulatorOptions> every_rule() {
  std::vector<SimulatorOptions> rules;
  for (auto order : {Order::fcfs, Order::sjf, Order::f1}) {
    for (auto backfill : {Backfill::none, Backfill::easy, Backfill::conservative, Backfill::hybrid})
      for (auto behind : {Order::fcfs, Order::sjf, Order::f1})
        rules.push_back({.processors = 8,
                         .order = order,
                         .backfill = backfill,
                         .backfill_order = behind,
                         .depth = 2});
    for (auto backfill : {Backfill::none, Backfill::shadow_once})
      rules.push_back(
          {.processors = 8, .order = order, .backfill = backfill, .one_at_a_time = true});
  }
  for (auto backfill : {Backfill::easy, Backfill::conservative, Backfill::hybrid})
    rules.push_back(
        {.processors = 8, .backfill = backfill, .depth = 2, .placement = Placement::identified});
  rules.push_back({.processors = 8,
                   .backfill = Backfill::conservative,
                   .placement = Placement::identified,
                   .replan = Replan::compress});
  return rules;
}

// I16: under every order and rule, what becomes of a job does not depend on where it stands among
// those that came at the same instant.
RC_GTEST_PROP(Simulator, OrderOfSimultaneousJobsDoesNotMatter, ()) {
  auto jobs = random_jobs(-20);
  for (auto& j : jobs) j.submit = j.submit / seconds(30) * seconds(30);
  auto other = jobs;
  for (std::size_t i = other.size(); i > 1; --i)
    std::swap(other[i - 1], other[*rc::gen::inRange<std::size_t>(0, i)]);
  std::sort(other.begin(), other.end(),
            [](const Job& a, const Job& b) { return a.submit < b.submit; });
  for (const auto& rule : every_rule()) {
    const auto a = simulate(jobs, rule).value();
    const auto b = simulate(other, rule).value();
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      const auto& theirs = b.jobs[i];
      const auto& mine = a.jobs[static_cast<std::size_t>(other[i].id)];
      RC_ASSERT(mine.start == theirs.start);
      RC_ASSERT(mine.machines == theirs.machines);
    }
  }
}

// I10, I11: who got a reservation starts no later than it said, under EASY and under conservative
// backfill that compresses.
RC_GTEST_PROP(Simulator, NobodyStartsLaterThanPromised, ()) {
  const auto jobs = random_jobs();
  const SimulatorOptions easy{.processors = 8};
  const SimulatorOptions compress{.processors = 8,
                                  .backfill = Backfill::conservative,
                                  .placement = Placement::identified,
                                  .replan = Replan::compress};
  for (const auto& rule : {easy, compress}) {
    const auto replay = simulate(jobs, rule).value();
    for (const auto& job : replay.jobs) RC_ASSERT(job.start <= job.promised);
  }
}

std::vector<Time> starts(std::span<const Job> jobs, const SimulatorOptions& rule) {
  const auto replay = simulate(jobs, rule).value();
  std::vector<Time> at;
  for (const auto& job : replay.jobs) at.push_back(job.start / seconds(1));
  return at;
}

TEST(Simulator, HybridReservesForAsManyAsItIsTold) {
  // Jobs 1, 2 and 3 could start at 100, 150 and 200. Job 4 is in nobody's way, 5 in that of job 3,
  // 6 in that of job 2.
  const std::vector<Job> jobs{{0, 0, seconds(100), seconds(100), 6},
                              {1, seconds(1), seconds(50), seconds(50), 6},
                              {2, seconds(2), seconds(50), seconds(50), 8},
                              {3, seconds(3), seconds(50), seconds(50), 10},
                              {4, seconds(4), seconds(180), seconds(180), 1},
                              {5, seconds(5), seconds(230), seconds(230), 1},
                              {6, seconds(6), seconds(160), seconds(160), 2}};
  const auto with = [&](Backfill backfill, std::size_t depth) {
    return starts(jobs, {.processors = 10, .backfill = backfill, .depth = depth});
  };
  const std::vector<Time> easy{0, 100, 166, 235, 4, 5, 6};
  const std::vector<Time> two{0, 100, 150, 235, 4, 5, 285};
  const std::vector<Time> conservative{0, 100, 150, 200, 4, 250, 250};
  EXPECT_EQ(with(Backfill::easy, 0), easy);
  EXPECT_EQ(with(Backfill::hybrid, 1), easy);
  EXPECT_EQ(with(Backfill::hybrid, 2), two);
  EXPECT_EQ(with(Backfill::hybrid, 3), conservative);
  EXPECT_EQ(with(Backfill::conservative, 0), conservative);
}

// Depth 1 is EASY, and as many as there are is conservative.
RC_GTEST_PROP(Simulator, HybridLiesBetweenEasyAndConservative, ()) {
  const auto jobs = random_jobs();
  for (auto placement : {Placement::counted, Placement::identified}) {
    const auto with = [&](Backfill backfill, std::size_t depth) {
      return starts(
          jobs, {.processors = 8, .backfill = backfill, .depth = depth, .placement = placement});
    };
    RC_ASSERT(with(Backfill::hybrid, 1) == with(Backfill::easy, 64));
    RC_ASSERT(with(Backfill::hybrid, jobs.size()) == with(Backfill::conservative, 64));
  }
}

TEST(Simulator, RefusesWhatItCannotReplay) {
  const std::vector<Job> jobs{{1, 10, 5, 5, 4}, {2, 5, 5, 5, 4}};
  EXPECT_EQ(simulate(jobs, {}).refusal().code, Code::invalid_request);
  EXPECT_EQ(simulate(jobs, {.processors = 2}).refusal().code, Code::infeasible);
  EXPECT_EQ(
      simulate(jobs, {.processors = 8, .backfill = Backfill::hybrid, .depth = 0}).refusal().code,
      Code::invalid_request);
  EXPECT_EQ(simulate(jobs, {.processors = 8}).refusal().code, Code::malformed);
  EXPECT_EQ(simulate(jobs, {.processors = 8, .one_at_a_time = true}).refusal().code,
            Code::invalid_request);
  const std::vector<Job> endless(12, {3, 0, seconds(1'000'000'000'000), 1, 8});
  EXPECT_EQ(simulate(std::span(endless).first(2), {.processors = 8})->jobs[1].finish,
            seconds(2'000'000'000'000));
  EXPECT_EQ(simulate(endless, {.processors = 8}).refusal().code, Code::overflow);
  EXPECT_EQ(
      simulate(std::vector<Job>{{4, INT64_MAX - 1, 1, 1, 1}}, {.processors = 8}).refusal().code,
      Code::overflow);
  EXPECT_EQ(simulate(std::vector<Job>{{5, INT64_MIN, 1, 1, 1}}, {.processors = 8}).refusal().code,
            Code::overflow);
}

}  // namespace
}  // namespace reeve::alloc
