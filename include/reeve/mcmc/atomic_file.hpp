// Files that are replaced whole or not at all: for checkpoints.
#pragma once

#include <string>
#include <string_view>

namespace reeve::mcmc {

/// Writes `bytes` beside `path`, makes them durable, and renames: whenever the process dies, `path`
/// holds either what it held before or all of `bytes`.
///
/// Errors: Error naming the file, for a folder that cannot be written, or a full disk.
void replace_file(const std::string& path, std::string_view bytes);

}  // namespace reeve::mcmc
