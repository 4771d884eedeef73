// Stan's own sampler, driven directly: CPU time of warm-up and sampling, and the draws for one ESS
// tool.
#include STAN_MODEL

#include <stan/callbacks/interrupt.hpp>
#include <stan/callbacks/logger.hpp>
#include <stan/io/dump.hpp>
#include <stan/io/empty_var_context.hpp>
#include <stan/services/sample/hmc_nuts_dense_e_adapt.hpp>
#include <stan/services/sample/hmc_nuts_diag_e_adapt.hpp>

#include <cstdio>
#include <ctime>
#include <fstream>
#include <string>

namespace {
double cpu() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
}
struct Draws : stan::callbacks::writer {
  std::vector<std::vector<double>> rows;
  double sampling_from = 0, leapfrogs = 0;
  int seen = 0;
  void operator()(const std::vector<double>& row) override {
    if (row.size() > 4) leapfrogs += row[4];
    if (seen++ == 1000) sampling_from = cpu();  // the first 1000 are warm-up
    if (seen > 1000) rows.push_back(row);
  }
  void operator()(const std::vector<std::string>&) override {}
  void operator()(const std::string&) override {}
  void operator()() override {}
};
}  // namespace

// peer DATA METRIC OUT [SEED]: prints CPU seconds, of which sampling, leapfrogs in all and
// nanoseconds per gradient; OUT gets one line per draw.
int main(int argc, char** argv) {
  const unsigned seed = argc > 4 ? static_cast<unsigned>(std::stoul(argv[4])) : 20240501u;
  std::ifstream file(argv[1]);
  stan::io::dump data(file);
  stan_model model(data, 1, nullptr);
  const bool dense = std::string(argv[2]) == "dense";
  std::ofstream out(argv[3]);
  out.precision(17);
  double total = 0, sampling = 0, leapfrogs = 0;
  for (unsigned chain = 1; chain <= 4; ++chain) {
    stan::io::empty_var_context init;
    stan::callbacks::interrupt interrupt;
    stan::callbacks::logger logger;
    stan::callbacks::writer nothing;
    Draws draws;
    const double from = cpu();
    const auto run = [&](auto f) {
      f(model, init, seed, chain, 2.0, 1000, 1000, 1, true, 0, 1.0, 0.0, 10, 0.8, 0.05, 0.75, 10.0,
        75u, 50u, 25u, interrupt, logger, nothing, draws, nothing);
    };
    if (dense)
      run([](auto&&... a) { stan::services::sample::hmc_nuts_dense_e_adapt(a...); });
    else
      run([](auto&&... a) { stan::services::sample::hmc_nuts_diag_e_adapt(a...); });
    total += cpu() - from;
    sampling += cpu() - draws.sampling_from;
    leapfrogs += draws.leapfrogs;
    for (const auto& row : draws.rows) {
      out << chain;
      for (std::size_t i = 7; i < row.size(); ++i) out << ' ' << row[i];
      out << '\n';
    }
  }
  // Per gradient, at a point near the first draw.
  std::vector<double> q(model.num_params_r(), 0.1), g;
  std::vector<int> none;
  double from = cpu(), sum = 0;
  int count = 0;
  for (; count < 20000 && cpu() - from < 0.3; ++count) {
    q[0] = 0.1 + 1e-9 * count;
    sum += stan::model::log_prob_grad<true, true>(model, q, none, g, nullptr);
  }
  const double gradient = (cpu() - from) / count;
  std::printf("%.6f %.6f %.0f %.1f %g\n", total, sampling, leapfrogs, gradient * 1e9, sum * 0);
}
