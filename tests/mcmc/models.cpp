// Eight posteriors of posteriordb, each written the way a user would.
#include "tests/mcmc/models.hpp"

#include <reeve/mcmc/glm.hpp>

#include <boost/json.hpp>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <boost/json/src.hpp>

namespace reeve::mcmc::testing {
namespace {

boost::json::object parse(const std::string& path) {
  std::ifstream file(path);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return boost::json::parse(text).as_object();
}

Density eight_schools(const DataSet& data) {
  Parameters p;
  p.real("theta_trans", 8, normal(0, 1))
      .real("mu", 0, normal(0, 5))
      .positive("tau", 0, half_cauchy(5));
  return density(
      p, [y = data.at("y"), s = data.at("sigma")](std::span<const double> t, std::span<double> g) {
        double lp = 0, d_mu = 0, d_tau = 0;
        for (std::size_t j = 0; j < 8; ++j) {
          const double z = (y[j] - t[8] - t[9] * t[j]) / s[j], w = z / s[j];
          lp -= 0.5 * z * z;
          g[j] = w * t[9];
          d_mu += w;
          d_tau += w * t[j];
        }
        g[8] = d_mu;
        g[9] = d_tau;
        return lp;
      });
}

struct Garch {
  std::vector<double> y;
  double sigma1;
  // beta1 < 1 - alpha1: beta1 = (1 - alpha1) b with b in (0, 1) and the Jacobian log(1 - alpha1).
  template <class T>
  T operator()(std::span<const T> t) const {
    using std::log;
    const T &mu = t[0], &alpha0 = t[1], &alpha1 = t[2];
    const T beta1 = (1.0 - alpha1) * t[3];
    T variance = sigma1 * sigma1, lp = log(1.0 - alpha1);
    T squares = 0.0, logs = 0.0;
    T pending = 1.0;  // log of a product of four variances costs one log instead of four
    for (std::size_t i = 0; i < y.size(); ++i) {
      const T r = y[i] - mu, r2 = r * r;
      squares += r2 / variance;
      pending = pending * variance;
      if (i % 4 == 3 || i + 1 == y.size()) logs += log(pending), pending = 1.0;
      variance = alpha0 + alpha1 * r2 + beta1 * variance;
    }
    return lp - 0.5 * (squares + logs);
  }
};

Density garch(const DataSet& data) {
  Parameters p;
  p.real("mu").positive("alpha0").interval("alpha1", 0, 1).interval("b", 0, 1);
  return density<4>(p, Garch{data.at("y"), data.at("sigma1")[0]});
}

struct GaussianProcess {
  std::vector<double> x, y;
  template <class T>
  T operator()(std::span<const T> t) const {
    using std::exp, std::log, std::sqrt;
    const std::size_t n = x.size();
    T l[11][11], lp = 0.0, z[11];
    const T scale = -0.5 / (t[0] * t[0]), variance = t[1] * t[1];
    T by_distance[21];  // the inputs are a grid: few distances
    for (std::size_t k = 0; k < n; ++k)
      by_distance[k] = variance * exp(scale * square(x[k] - x[0]));
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j <= i; ++j) {
        T s = i == j ? by_distance[0] + t[2] : by_distance[i - j];
        for (std::size_t k = 0; k < j; ++k) s -= l[i][k] * l[j][k];
        l[i][j] = i == j ? sqrt(s) : T(s * l[j][j]);
        if (i == j) {
          lp -= log(l[i][i]);
          l[i][i] = 1.0 / l[i][i];  // keep the inverse: no divisions below
        }
      }
      T r = y[i];
      for (std::size_t k = 0; k < i; ++k) r -= l[i][k] * z[k];
      z[i] = r * l[i][i];
      lp -= 0.5 * z[i] * z[i];
    }
    return lp;
  }
};

Density gp(const DataSet& data) {
  Parameters p;
  p.positive("rho", 0, gamma(25, 4))
      .positive("alpha", 0, half_normal(2))
      .positive("sigma", 0, half_normal(1));
  return density<3>(p, GaussianProcess{data.at("x"), data.at("y")});
}

struct Mixture {
  static constexpr std::size_t parameters = 5;
  template <class X, class T>
  static T log_likelihood(const X& row, std::span<const T> t) {
    const T a = log(t[4]) + normal_lpdf(row[0], t[0], t[2]);
    const T b = log(1.0 - t[4]) + normal_lpdf(row[0], t[1], t[3]);
    return log_sum_exp(a, b);
  }
};

Density mixture(const DataSet& data) {
  Parameters p;
  p.ordered("mu", 2, normal(0, 2))
      .positive("sigma", 2, half_normal(2))
      .interval("theta", 0, 1, 0, beta(5, 5));
  return observations<Mixture>(p, Columns({data.at("y")}));
}

Density linear(Parameters p, std::vector<std::vector<double>> columns, std::vector<double> y) {
  return linear_regression(std::move(p), Columns(std::move(columns)), std::move(y));
}

Density ar(const DataSet& data) {
  const auto& y = data.at("y");
  std::vector<std::vector<double>> x(6);
  std::vector<double> response;
  for (std::size_t t = 5; t < y.size(); ++t) {
    x[0].push_back(1);
    for (std::size_t k = 1; k <= 5; ++k) x[k].push_back(y[t - k]);
    response.push_back(y[t]);
  }
  Parameters p;
  p.real("alpha", 0, normal(0, 10))
      .real("beta", 5, normal(0, 10))
      .positive("sigma", 0, half_cauchy(2.5));
  return linear(p, x, response);
}

Density kidscore(const DataSet& data) {
  const auto &hs = data.at("mom_hs"), &iq = data.at("mom_iq");
  std::vector<double> one(hs.size(), 1), inter(hs.size());
  for (std::size_t i = 0; i < hs.size(); ++i) inter[i] = hs[i] * iq[i];
  Parameters p;
  p.real("beta", 4).positive("sigma", 0, half_cauchy(2.5));
  return linear(p, {one, hs, iq, inter}, data.at("kid_score"));
}

Density logearn(const DataSet& data) {
  const auto &height = data.at("height"), &male = data.at("male");
  std::vector<double> one(height.size(), 1), inter(height.size()), y = data.at("earn");
  for (std::size_t i = 0; i < y.size(); ++i) {
    inter[i] = height[i] * male[i];
    y[i] = std::log(y[i]);
  }
  Parameters p;
  p.real("beta", 4).positive("sigma");
  return linear(p, {one, height, male, inter}, y);
}

Density nes(const DataSet& data) {
  const auto& age = data.at("age_discrete");
  std::vector<std::vector<double>> x{std::vector<double>(age.size(), 1), data.at("real_ideo"),
                                     data.at("race_adj")};
  for (const double group : {2., 3., 4.}) {
    auto& column = x.emplace_back();
    for (const double a : age) column.push_back(a == group);
  }
  for (const char* name : {"educ1", "gender", "income"}) x.push_back(data.at(name));
  Parameters p;
  p.real("beta", 9).positive("sigma");
  return linear(p, x, data.at("partyid7"));
}

}  // namespace

std::optional<std::string> posteriordb() {
  const char* root = std::getenv("REEVE_DATA_DIR");
  if (!root) return std::nullopt;
  std::string path = std::string(root) + "/posteriordb";
  if (!std::filesystem::exists(path + "/data")) return std::nullopt;
  return path;
}

DataSet read_data(const std::string& path) {
  DataSet data;
  const boost::json::object all = parse(path);
  for (const auto& [key, value] : all) {
    auto& out = data[std::string(key)];
    if (value.is_array())
      for (const auto& v : value.as_array()) out.push_back(v.to_number<double>());
    else
      out.push_back(value.to_number<double>());
  }
  return data;
}

std::map<std::string, Reference> read_reference(const std::string& path) {
  std::map<std::string, Reference> all;
  const boost::json::object file = parse(path);
  for (const auto& [name, v] : file.at("params").as_object()) {
    std::string key(name);
    if (const auto open = key.find('['); open != std::string::npos) {
      key[open] = '.';
      key.pop_back();
    }
    const auto& q = v.at("q");
    all[key] = {v.at("mean").to_number<double>(),    v.at("sd").to_number<double>(),
                v.at("mean_sq").to_number<double>(), v.at("sd_sq").to_number<double>(),
                q.at("0.05").to_number<double>(),    q.at("0.95").to_number<double>()};
  }
  return all;
}

const std::vector<Posterior>& posteriors() {
  static const std::vector<Posterior> all{
      {"eight_schools", "eight_schools", "eight_schools-eight_schools_noncentered", &eight_schools},
      {"garch11", "garch", "garch-garch11", &garch},
      {"gp_regr", "gp_pois_regr", "gp_pois_regr-gp_regr", &gp},
      {"gauss_mix", "low_dim_gauss_mix", "low_dim_gauss_mix-low_dim_gauss_mix", &mixture},
      {"arK", "arK", "arK-arK", &ar},
      {"kidscore", "kidiq", "kidiq-kidscore_interaction", &kidscore},
      {"logearn", "earnings", "earnings-logearn_interaction", &logearn},
      {"nes1972", "nes1972", "nes1972-nes", &nes}};
  return all;
}

Density eight_schools_centered(const DataSet& data) {
  Parameters p;
  p.real("theta", 8).real("mu", 0, normal(0, 5)).positive("tau", 0, half_cauchy(5));
  return density<10>(p, [y = data.at("y"), s = data.at("sigma")](auto t) {
    using T = typename decltype(t)::value_type;
    T lp = 0.0;
    for (std::size_t j = 0; j < 8; ++j)
      lp += normal_lpdf(t[j], t[8], t[9]) - 0.5 * square((y[j] - t[j]) / s[j]);
    return lp;
  });
}

Density funnel() {
  return density<10>([](auto t) {
    using std::exp;
    using T = typename decltype(t)::value_type;
    T lp = -0.5 * square(t[0] / 3.0);
    for (std::size_t i = 1; i < 10; ++i) lp += -0.5 * (t[i] * t[i] * exp(-t[0]) + t[0]);
    return lp;
  });
}

}  // namespace reeve::mcmc::testing
