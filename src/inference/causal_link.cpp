// What can be wrong with a link, found before a worker is troubled.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <reeve/base/error.hpp>
#include <reeve/inference/causal_link.hpp>
#include <set>

namespace reeve::inference {
namespace {

constexpr std::size_t least_rows = 5;

void check_names(const CausalLink& link) {
  if (link.cause.empty() || link.effect.empty())
    throw ConfigError(fmt::format("the {} has no name; name a column of the data",
                                  link.cause.empty() ? "cause" : "effect"));
  std::set<std::string> seen;
  std::vector<std::string> all{link.cause, link.effect};
  all.insert(all.end(), link.confounders.begin(), link.confounders.end());
  for (const auto& name : all)
    if (!seen.insert(name).second)
      throw ConfigError(fmt::format(
          "column '{}' is named twice among cause, effect and confounders; each needs its own",
          name));
}

bool constant(const std::vector<double>& values) {
  return std::all_of(values.begin(), values.end(), [&](double v) { return v == values[0]; });
}

std::vector<double> column_of(const CausalLink& link, const std::string& name, std::size_t rows) {
  std::vector<double> values = link.data.numbers(name);
  if (values.size() != rows)
    throw ConfigError(fmt::format("column '{}' has {} rows and column '{}' has {}; make them equal",
                                  name, values.size(), link.cause, rows));
  if (rows < least_rows)
    throw ConfigError(
        fmt::format("column '{}' has {} rows; a link needs at least {}", name, rows, least_rows));
  if (constant(values))
    throw ConfigError(fmt::format(
        "column '{}' is {} in every row, from row 1 to {}; what never varies tells nothing", name,
        values[0], rows));
  return values;
}

void check_range(const CausalLink& link, const std::vector<double>& y) {
  const bool counts = link.family == Family::poisson || link.family == Family::negative_binomial;
  for (std::size_t i = 0; i < y.size(); ++i) {
    if (counts && (y[i] < 0 || y[i] != std::floor(y[i])))
      throw ConfigError(fmt::format(
          "column '{}', {} is {}; the family {} needs whole counts that are not negative",
          link.effect, link.data.row_text(i + 1), y[i], to_string(link.family)));
    if (link.family == Family::bernoulli && y[i] != 0 && y[i] != 1)
      throw ConfigError(fmt::format("column '{}', {} is {}; the family bernoulli needs 0 or 1",
                                    link.effect, link.data.row_text(i + 1), y[i]));
  }
}

}  // namespace

const char* to_string(Family family) noexcept {
  switch (family) {
    case Family::normal:
      return "normal";
    case Family::student:
      return "student";
    case Family::bernoulli:
      return "bernoulli";
    case Family::poisson:
      return "poisson";
    case Family::negative_binomial:
      return "negative_binomial";
  }
  return "unknown";
}

Family parse_family(std::string_view name) {
  for (const Family f : {Family::normal, Family::student, Family::bernoulli, Family::poisson,
                         Family::negative_binomial})
    if (name == to_string(f)) return f;
  throw ConfigError(fmt::format(
      "'{}' is no family; there are normal, student, bernoulli, poisson and negative_binomial",
      name));
}

std::string name_of(const CausalLink& link) {
  return link.name.empty() ? link.cause + " -> " + link.effect : link.name;
}

LinkData checked(const CausalLink& link) {
  check_names(link);
  const auto family = static_cast<int>(link.family);
  if (family < 0 || family > static_cast<int>(Family::negative_binomial))
    throw ConfigError(fmt::format(
        "the family of '{}' is number {}, which does not exist; use an enumerator of Family",
        name_of(link), family));
  if (link.family == Family::student && !(link.student_nu > 0 && std::isfinite(link.student_nu)))
    throw ConfigError(fmt::format("student_nu is {}; it must be positive and finite, usually 4",
                                  link.student_nu));
  LinkData data;
  data.name = name_of(link);
  data.cause = link.cause;
  data.effect = link.effect;
  data.cause_unit = link.cause_unit;
  data.effect_unit = link.effect_unit;
  data.family = link.family;
  data.student_nu = link.student_nu;
  const std::size_t rows = link.data.rows(link.cause);
  data.x = column_of(link, link.cause, rows);
  data.y = column_of(link, link.effect, rows);
  check_range(link, data.y);
  for (const auto& name : link.confounders) data.confounders.push_back(column_of(link, name, rows));
  data.confounder_names = link.confounders;
  return data;
}

}  // namespace reeve::inference
