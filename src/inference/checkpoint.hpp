// The files that let a link go on where a dead worker left it. Internal.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace reeve::inference {

/// One folder's checkpoints of one link; does nothing for an empty folder.
class Checkpoints {
 public:
  Checkpoints(std::string folder, std::string_view link);
  bool enabled() const noexcept { return !folder_.empty(); }
  std::string path(std::string_view mechanism, int round) const;
  /// All files of the link, for a shell.
  std::string pattern() const;
  /// What was last written for this fit and round.
  std::optional<std::string> read(std::string_view mechanism, int round) const;
  /// Replaces it at once or not at all, whenever the process dies. Errors: Error.
  void write(std::string_view mechanism, int round, std::string_view bytes);
  /// Removes one file.
  void forget(std::string_view mechanism, int round) noexcept;
  /// Removes the files that were written or read: the link is done.
  void remove_all() noexcept;

 private:
  std::string folder_, link_;
  mutable std::vector<std::string> known_;
};

}  // namespace reeve::inference
