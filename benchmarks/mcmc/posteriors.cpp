// Eight posteriors of posteriordb, two simulated ones, and three written plainly.
#include "benchmarks/mcmc/posteriors.hpp"

#include <reeve/mcmc.hpp>

#include <cmath>

namespace reeve::mcmc::bench {

using testing::DataSet;

namespace {

DataSet matrix_data(const std::vector<std::vector<double>>& x, const std::vector<double>& y,
                    double prior) {
  DataSet d{{"N", {double(y.size())}}, {"D", {double(x.size())}}, {"y", y}, {"prior", {prior}}};
  for (const auto& column : x) d["x"].insert(d["x"].end(), column.begin(), column.end());
  return d;
}

void add_recorded(std::vector<Posterior>& all, const std::string& root) {
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
  all.back().to_stan = [](std::vector<ChainDraws>& x) {  // ours is b, beta1 = (1 - alpha1) b
    for (std::size_t c = 0; c < x[3].size(); ++c)
      for (std::size_t i = 0; i < x[3][c].size(); ++i) x[3][c][i] *= 1 - x[2][c][i];
  };
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
}

struct Logistic {
  std::vector<std::vector<double>> x;  // without the column of ones
  std::vector<double> y;
  template <class T>
  T operator()(std::span<const T> t) const {
    T lp = 0.0;
    for (std::size_t i = 0; i < y.size(); ++i) {
      T eta = t[0];
      for (std::size_t c = 0; c < x.size(); ++c) eta += t[c + 1] * x[c][i];
      lp += bernoulli_logit_lpmf(y[i], eta);
    }
    return lp;
  }
};

Logistic simulated_logistic() {
  Random random(7);
  Logistic data{std::vector<std::vector<double>>(10, std::vector<double>(1000)),
                std::vector<double>(1000)};
  for (std::size_t i = 0; i < data.y.size(); ++i) {
    double eta = 0.3;
    for (std::size_t c = 1; c <= 10; ++c)
      eta += 0.2 * double(c % 4) * (data.x[c - 1][i] = random.normal()) * (c % 2 ? 1 : -1);
    data.y[i] = random.uniform() < 1 / (1 + std::exp(-eta));
  }
  return data;
}

struct Emax {
  static constexpr std::size_t parameters = 3;
  template <class X, class T>
  static T f(const X& x, std::span<const T> t) {
    return t[0] + t[1] * x / (x + t[2]);
  }
};

struct PlainEmax {
  std::vector<double> x, y;
  template <class T>
  T operator()(std::span<const T> t) const {
    T lp = 0.0;
    for (std::size_t i = 0; i < y.size(); ++i)
      lp += normal_lpdf(y[i], t[0] + t[1] * x[i] / (x[i] + t[2]), t[3]);
    return lp;
  }
};

PlainEmax simulated_emax() {
  Random random(8);
  PlainEmax data{std::vector<double>(200), std::vector<double>(200)};
  for (std::size_t i = 0; i < 200; ++i) {
    data.x[i] = random.uniform(0.01, 1.5);
    data.y[i] = 0.3 + 1.5 * data.x[i] / (data.x[i] + 0.3) + 0.3 * random.normal();
  }
  return data;
}

struct PlainSchools {
  std::vector<double> y, sigma;
  template <class T>
  T operator()(std::span<const T> t) const {
    T lp = 0.0;
    for (std::size_t j = 0; j < 8; ++j) lp += normal_lpdf(y[j], t[8] + t[9] * t[j], sigma[j]);
    return lp;
  }
};

Parameters logistic_parameters() {
  Parameters p;
  p.real("alpha", 0, normal(0, 2.5)).real("beta", 10, normal(0, 2.5));
  return p;
}
Parameters emax_parameters() {
  Parameters p;
  p.add("e0", normal(0, 1.5))
      .add("emax", normal(0, 2.5))
      .add("ec50", lognormal(-1.2, 1))
      .add("sigma", half_normal(1));
  return p;
}
DataSet logistic_data(const Logistic& data) {
  DataSet stan = matrix_data(data.x, data.y, 0);
  stan.erase("prior");
  return stan;
}
DataSet emax_data(const PlainEmax& data) {
  return {{"N", {200}}, {"x", data.x}, {"y", data.y}};
}

}  // namespace

std::vector<Posterior> fast_posteriors(const std::optional<std::string>& root) {
  std::vector<Posterior> all;
  if (root) add_recorded(all, *root);
  const Logistic logistic = simulated_logistic();
  std::vector<std::vector<double>> x{std::vector<double>(logistic.y.size(), 1)};
  x.insert(x.end(), logistic.x.begin(), logistic.x.end());
  const std::vector<std::string> integers{"N", "D", "y"};
  all.push_back({"logistic", "logit",
                 glm(logistic_parameters(), Columns(x), logistic.y, Family::bernoulli_logit),
                 logistic_data(logistic), integers, 5});
  const PlainEmax emax = simulated_emax();
  all.push_back({"emax",
                 "emax",
                 regression<Emax>(emax_parameters(), Columns({emax.x, emax.y}), Family::normal),
                 emax_data(emax),
                 {"N"},
                 5});
  return all;
}

std::vector<Posterior> plain_posteriors() {
  std::vector<Posterior> all;
  Parameters p;
  p.real("theta_trans", 8, normal(0, 1))
      .real("mu", 0, normal(0, 5))
      .positive("tau", 0, half_cauchy(5));
  const PlainSchools schools{{28, 8, -3, 7, -1, 1, 18, 12}, {15, 10, 16, 11, 9, 11, 10, 18}};
  all.push_back({"eight schools",
                 "es",
                 density<10>(p, schools),
                 {{"J", {8}}, {"y", schools.y}, {"sigma", schools.sigma}},
                 {"J"},
                 2});
  const Logistic logistic = simulated_logistic();
  const std::vector<std::string> integers{"N", "D", "y"};
  all.push_back({"logistic", "logit_naive", density<11>(logistic_parameters(), logistic),
                 logistic_data(logistic), integers, 2});
  const PlainEmax emax = simulated_emax();
  all.push_back({"emax", "emax", density<4>(emax_parameters(), emax), emax_data(emax), {"N"}, 2});
  return all;
}

}  // namespace reeve::mcmc::bench
