// Two mechanisms for one data set: bridge sampling, model probabilities and PSIS-LOO.
#include <reeve/mcmc.hpp>

#include <cstdio>

using namespace reeve::mcmc;

// [mechanisms]
struct Line {
  static constexpr std::size_t parameters = 2;
  template <class X, class T>
  static T f(const X& x, std::span<const T> t) {
    return t[0] + t[1] * x;
  }
};
struct Emax {
  static constexpr std::size_t parameters = 3;
  template <class X, class T>
  static T f(const X& x, std::span<const T> t) {
    return t[0] + t[1] * x / (x + t[2]);
  }
};
// [mechanisms]

int main() {
  Random random(5);
  std::vector<double> dose(100), response(100);
  for (std::size_t i = 0; i < dose.size(); ++i) {
    dose[i] = random.uniform(0.02, 2);
    response[i] = 0.2 + 1.5 * dose[i] / (dose[i] + 0.25) + 0.25 * random.normal();
  }
  const Columns data({dose, response});
  Parameters line, emax;
  line.add("a", normal(0, 1.5)).add("b", normal(0, 1.5)).add("sigma", half_normal(1));
  emax.add("e0", normal(0, 1.5))
      .add("emax", normal(0, 2.5))
      .add("ec50", lognormal(-1.2, 1))
      .add("sigma", half_normal(1));
  const Run fits[] = {sample(regression<Line>(line, data, Family::normal)),
                      sample(regression<Emax>(emax, data, Family::normal))};
  std::vector<Candidate> candidates;
  for (const Run& fit : fits)
    candidates.push_back(
        {candidates.empty() ? "line" : "emax", bridge_log_marginal(fit), fit.status()});
  const ModelProbabilities p = model_probabilities(candidates);
  std::printf("%s\n", p.conclusive && p.probability[1] > 0.99 ? "emax, with more than 99 %"
                                                              : "inconclusive");
  std::printf("emax predicts better: %s\n",
              psis_loo(fits[1]).elpd > psis_loo(fits[0]).elpd ? "yes" : "no");
}
