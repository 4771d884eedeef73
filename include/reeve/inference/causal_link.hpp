// A question: does this cause have this effect, given these data?
#pragma once

#include <reeve/inference/table.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace reeve::inference {

/// How the effect scatters around what the mechanism says. The mechanism acts on the effect itself
/// (normal, student), on the log odds (bernoulli) or on the log mean (poisson, negative_binomial).
enum class Family { normal, student, bernoulli, poisson, negative_binomial };
const char* to_string(Family family) noexcept;
/// Errors: ConfigError that lists the families, for any other word.
Family parse_family(std::string_view name);

/// A link to be examined: columns of `data`, by name. A named local, never a temporary in an
/// expression with co_await (g++ 12).
class CausalLink {
 public:
  CausalLink() = default;
  CausalLink(std::string cause_, std::string effect_, Table data_)
      : cause(std::move(cause_)), effect(std::move(effect_)), data(std::move(data_)) {}

  std::string cause, effect;
  Table data;
  std::vector<std::string> confounders;  ///< enter linearly, beside every mechanism
  Family family = Family::normal;
  double student_nu = 4;                ///< degrees of freedom of Family::student
  std::string name;                     ///< for reports and files; empty: "cause -> effect"
  std::string cause_unit, effect_unit;  ///< for reports and plots: "ppm"; empty: none
};

/// "dose -> response", or the name it was given.
std::string name_of(const CausalLink& link);

/// A link's numbers, checked: what travels to a worker.
struct LinkData {
  std::string name, cause, effect;
  std::vector<double> x, y;
  std::vector<std::vector<double>> confounders;
  std::vector<std::string> confounder_names;
  Family family = Family::normal;
  double student_nu = 4;
  std::string cause_unit, effect_unit;
};

/// Checks everything that can be wrong with a link before a worker is troubled.
///
/// Errors: ConfigError naming column and row: a missing, empty, repeated or constant column, a
///         value that is missing or not finite, columns of different lengths, fewer than 5 rows, a
///         family that does not exist, responses outside of its range (not 0 or 1; not a whole
///         count; all the same), student_nu that is not positive.
LinkData checked(const CausalLink& link);

}  // namespace reeve::inference
