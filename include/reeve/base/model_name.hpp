// What may be the name of a model, for all who keep something by it.
#pragma once

#include <cstddef>
#include <string_view>

namespace reeve {

inline constexpr std::size_t model_name_bytes_max = 256;

/// Errors: ConfigError for a name that is not of 1 to `model_name_bytes_max` bytes.
void check_model_name(std::string_view name);

}  // namespace reeve
