// ESS per CPU second on ten posteriors, side by side with Stan's C++ sampler where its peers were
// built.
#include <reeve/mcmc.hpp>

#include "tests/mcmc/models.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <functional>
#include <optional>
#include <string>

namespace {

using namespace reeve::mcmc;
using reeve::mcmc::testing::DataSet;

double cpu() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
}
double median(std::vector<double> x) {
  std::sort(x.begin(), x.end());
  return x[x.size() / 2];
}

struct Figures {
  double ess_per_second = 0, ess_per_kilogradient = 0, nanoseconds = 0, seconds = 0, ess = 0;
};

Figures measure(const Density& d) {
  std::vector<double> rate, efficiency, seconds, ess;
  for (std::uint64_t seed = 1; seed <= 7; ++seed) {
    SampleOptions o;
    o.seed = seed;
    const double from = cpu();
    Sampler sampler(d, o);
    sampler.advance();
    seconds.push_back(cpu() - from);
    const Run run = sampler.result();
    const auto& g = run.diagnostics();
    ess.push_back(std::min(g.min_ess_bulk, g.min_ess_tail));
    rate.push_back(ess.back() / seconds.back());
    efficiency.push_back(1e3 * ess.back() / double(g.leapfrogs + run.warmup_leapfrogs));
  }
  std::vector<double> q(d.dimension(), 0.1), g(d.dimension());
  const double from = cpu();
  int count = 0;
  double sum = 0;
  for (; count < 200000 && (count % 64 || cpu() - from < 0.2); ++count) {
    q[0] = 0.1 + 1e-9 * count;
    sum += d.evaluate(q, g);
  }
  const double ns = (cpu() - from) / count * 1e9;
  return {median(rate), median(efficiency), sum == 1 ? 0 : ns, median(seconds), median(ess)};
}

void write_dump(const std::string& path, const DataSet& data,
                const std::vector<std::string>& integers) {
  std::ofstream out(path);
  out.precision(17);
  for (const auto& [name, v] : data) {
    const bool whole = std::find(integers.begin(), integers.end(), name) != integers.end();
    out << name << " <- ";
    if (v.size() != 1) out << (name == "x" && data.count("D") ? "structure(c(" : "c(");
    for (std::size_t i = 0; i < v.size(); ++i) {
      out << (i ? ", " : "");
      if (whole)
        out << static_cast<long>(v[i]);
      else
        out << fmt::format("{:.17e}", v[i]);
    }
    if (v.size() != 1) out << ")";
    if (name == "x" && data.count("D"))
      out << fmt::format(", .Dim = c({}, {}))", long(data.at("N")[0]), long(data.at("D")[0]));
    out << "\n";
  }
}

std::optional<Figures> run_peer(const std::string& folder, const std::string& peer,
                                const std::string& metric, std::size_t dimension) {
  const std::string draws = folder + "/draws.txt";
  const std::string command =
      folder + "/peer_" + peer + " " + folder + "/data.R " + metric + " " + draws + " 2>/dev/null";
  std::FILE* pipe = ::popen(command.c_str(), "r");
  if (!pipe) return std::nullopt;
  double total = 0, sampling = 0, leapfrogs = 0, ns = 0;
  const int fields = std::fscanf(pipe, "%lf %lf %lf %lf", &total, &sampling, &leapfrogs, &ns);
  if (::pclose(pipe) != 0 || fields != 4) return std::nullopt;
  std::ifstream in(draws);
  std::vector<ChainDraws> x(dimension, ChainDraws(4));
  std::string line;
  while (std::getline(in, line)) {
    char* at = line.data();
    const auto chain = static_cast<std::size_t>(std::strtol(at, &at, 10)) - 1;
    for (std::size_t p = 0; p < dimension; ++p) x[p][chain].push_back(std::strtod(at, &at));
  }
  double least = INFINITY;
  for (const auto& draws_of_one : x)
    least = std::fmin(least, std::fmin(ess_bulk(draws_of_one), ess_tail(draws_of_one)));
  return Figures{least / total, 1e3 * least / leapfrogs, ns, total, least};
}

struct Emax {
  static constexpr std::size_t parameters = 3;
  template <class X, class T>
  static T f(const X& x, std::span<const T> t) {
    return t[0] + t[1] * x / (x + t[2]);
  }
};

struct Bench {
  std::string name, peer;
  Density density;
  DataSet stan;
  std::vector<std::string> integers;
  double goal;
};

DataSet matrix_data(const std::vector<std::vector<double>>& x, const std::vector<double>& y,
                    double prior) {
  DataSet d{{"N", {double(y.size())}}, {"D", {double(x.size())}}, {"y", y}, {"prior", {prior}}};
  for (const auto& column : x) d["x"].insert(d["x"].end(), column.begin(), column.end());
  return d;
}

std::vector<Bench> benches(const std::string& root) {
  std::vector<Bench> all;
  const auto data = [&](std::size_t i) {
    return testing::read_data(root + "/data/" + testing::posteriors()[i].data + ".json");
  };
  const auto add = [&](std::size_t i, const char* peer, DataSet stan,
                       std::vector<std::string> integers, double goal) {
    all.push_back({testing::posteriors()[i].name, peer, testing::posteriors()[i].make(data(i)),
                   std::move(stan), std::move(integers), goal});
  };
  add(0, "es", data(0), {"J"}, 5);
  add(1, "garch", data(1), {"T"}, 5);
  DataSet gp = data(2);
  gp.erase("k");
  add(2, "gp", gp, {"N"}, 5);
  add(3, "mix", data(3), {"N"}, 5);

  DataSet d = data(4);
  const auto& y = d["y"];
  std::vector<std::vector<double>> x(6);
  std::vector<double> r;
  for (std::size_t t = 5; t < y.size(); ++t) {
    x[0].push_back(1);
    for (std::size_t k = 1; k <= 5; ++k) x[k].push_back(y[t - k]);
    r.push_back(y[t]);
  }
  add(4, "lin", matrix_data(x, r, 2), {"N", "D", "prior"}, 5);
  d = data(5);
  std::vector<double> inter, one(d["mom_hs"].size(), 1);
  for (std::size_t i = 0; i < one.size(); ++i) inter.push_back(d["mom_hs"][i] * d["mom_iq"][i]);
  add(5, "lin", matrix_data({one, d["mom_hs"], d["mom_iq"], inter}, d["kid_score"], 1),
      {"N", "D", "prior"}, 5);
  d = data(6);
  one.assign(d["male"].size(), 1);
  inter.clear();
  r.clear();
  for (std::size_t i = 0; i < one.size(); ++i) {
    inter.push_back(d["male"][i] * d["height"][i]);
    r.push_back(std::log(d["earn"][i]));
  }
  add(6, "lin", matrix_data({one, d["height"], d["male"], inter}, r, 0), {"N", "D", "prior"}, 5);
  d = data(7);
  one.assign(d["age_discrete"].size(), 1);
  std::vector<std::vector<double>> n{one, d["real_ideo"], d["race_adj"]};
  for (const double group : {2., 3., 4.}) {
    auto& column = n.emplace_back();
    for (const double a : d["age_discrete"]) column.push_back(a == group);
  }
  for (const char* name : {"educ1", "gender", "income"}) n.push_back(d[name]);
  add(7, "lin", matrix_data(n, d["partyid7"], 0), {"N", "D", "prior"}, 4);
  return all;
}

void add_simulated(std::vector<Bench>& all) {
  Random random(7);
  std::vector<std::vector<double>> x(11, std::vector<double>(1000, 1));
  std::vector<double> y(1000);
  for (std::size_t i = 0; i < y.size(); ++i) {
    double eta = 0.3;
    for (std::size_t c = 1; c <= 10; ++c)
      eta += 0.2 * double(c % 4) * (x[c][i] = random.normal()) * (c % 2 ? 1 : -1);
    y[i] = random.uniform() < 1 / (1 + std::exp(-eta));
  }
  Parameters p;
  p.real("alpha", 0, normal(0, 2.5)).real("beta", 10, normal(0, 2.5));
  DataSet stan = matrix_data({x.begin() + 1, x.end()}, y, 0);
  stan.erase("prior");
  all.push_back({"logistic",
                 "logit",
                 glm(p, Columns(x), y, Family::bernoulli_logit),
                 stan,
                 {"N", "D", "y"},
                 5});

  std::vector<double> dose(200), response(200);
  for (std::size_t i = 0; i < 200; ++i) {
    dose[i] = random.uniform(0.01, 1.5);
    response[i] = 0.3 + 1.5 * dose[i] / (dose[i] + 0.3) + 0.3 * random.normal();
  }
  Parameters e;
  e.add("e0", normal(0, 1.5))
      .add("emax", normal(0, 2.5))
      .add("ec50", lognormal(-1.2, 1))
      .add("sigma", half_normal(1));
  all.push_back({"emax",
                 "emax",
                 regression<Emax>(e, Columns({dose, response}), Family::normal),
                 {{"N", {200}}, {"x", dose}, {"y", response}},
                 {"N"},
                 5});
}

void print(const std::string& figure, double value, const char* unit, double goal, double peer) {
  if (peer > 0)
    fmt::print(
        "{{\"component\": \"mcmc\", \"figure\": \"{}\", \"value\": {:.6g}, \"unit\": \"{}\", "
        "\"goal\": \">= {}x\", "
        "\"peer\": \"stan 2.21 C++, best of diag_e and dense_e\", \"peer_value\": {:.6g}, "
        "\"ratio\": {:.3g}, \"met\": {}}}\n",
        figure, value, unit, goal, peer, value / peer, value / peer >= goal);
  else
    fmt::print(
        "{{\"component\": \"mcmc\", \"figure\": \"{}\", \"value\": {:.6g}, \"unit\": \"{}\", "
        "\"goal\": \">= {}x\", "
        "\"peer\": null, \"peer_value\": null, \"ratio\": null, \"met\": null}}\n",
        figure, value, unit, goal);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  const auto root = testing::posteriordb();
  std::vector<Bench> all;
  if (root)
    all = benches(*root);
  else
    std::fprintf(
        stderr,
        "set REEVE_DATA_DIR to the folder that holds posteriordb/ for eight more posteriors\n");
  add_simulated(all);
  double log_sum = 0;
  int count = 0;
  for (const auto& b : all) {
    const Figures ours = measure(b.density);
    Figures best;
    if (argc > 1) {
      write_dump(std::string(argv[1]) + "/data.R", b.stan, b.integers);
      for (const char* metric : {"diag", "dense"})
        if (const auto f = run_peer(argv[1], b.peer, metric, b.density.dimension())) {
          std::fprintf(stderr, "%s stan %s: %.3f s, ESS %.0f, %.0f/s, %.1f/kgrad, %.0f ns\n",
                       b.name.c_str(), metric, f->seconds, f->ess, f->ess_per_second,
                       f->ess_per_kilogradient, f->nanoseconds);
          best.ess_per_second = std::max(best.ess_per_second, f->ess_per_second);
          best.ess_per_kilogradient = std::max(best.ess_per_kilogradient, f->ess_per_kilogradient);
          best.nanoseconds = f->nanoseconds;
        }
    }
    std::fprintf(stderr, "%s reeve: %.4f s, ESS %.0f, %.0f ns\n", b.name.c_str(), ours.seconds,
                 ours.ess, ours.nanoseconds);
    print(b.name + " ESS per CPU second, warm-up included", ours.ess_per_second, "1/s", b.goal,
          best.ess_per_second);
    print(b.name + " ESS per 1000 gradients, warm-up included", ours.ess_per_kilogradient, "1", 1.8,
          best.ess_per_kilogradient);
    if (best.ess_per_second > 0)
      log_sum += std::log(ours.ess_per_second / best.ess_per_second), ++count;
  }
  if (count > 0)
    fmt::print(
        "{{\"component\": \"mcmc\", \"figure\": \"geometric mean of ESS/s ratios\", \"value\": "
        "{0:.3g}, \"unit\": \"x\", "
        "\"goal\": \">= 15\", \"peer\": \"stan 2.21 C++\", \"peer_value\": 1, \"ratio\": {0:.3g}, "
        "\"met\": {1}}}\n",
        std::exp(log_sum / count), std::exp(log_sum / count) >= 15);
}
