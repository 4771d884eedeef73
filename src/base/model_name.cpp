// The check of model names.
#include <fmt/format.h>

#include <reeve/base/error.hpp>
#include <reeve/base/model_name.hpp>

namespace reeve {

void check_model_name(std::string_view name) {
  if (!name.empty() && name.size() <= model_name_bytes_max) return;
  throw ConfigError(fmt::format("the model name '{}{}' has {} bytes; give one of 1 to {}",
                                name.substr(0, 32), name.size() > 32 ? "..." : "", name.size(),
                                model_name_bytes_max));
}

}  // namespace reeve
