// A file of nothing beside the database, given up when the disk is full so that tasks can be
// deleted.
#pragma once

#include <cstdint>
#include <string>

namespace reeve::tasks::detail {

class ReserveFile {
 public:
  /// Without bytes there is none, and space is never short.
  ReserveFile(std::string path, std::uint64_t bytes) : path_(std::move(path)), bytes_(bytes) {}

  /// Takes the space, where it can be had and is not held yet.
  void hold() noexcept;
  /// False: there was nothing to give up.
  bool give_up() noexcept;
  /// The reserve is gone: nothing may make the database grow but a deletion.
  bool is_short() const noexcept { return bytes_ != 0 && !held_; }

 private:
  std::string path_;
  std::uint64_t bytes_;
  bool held_ = false;
};

}  // namespace reeve::tasks::detail
