// What is on a disk for certain, and what a power cut may or may not have kept.
#pragma once

#include <random>

#include "tests/tasks/support/disk_vfs.hpp"

namespace reeve::tasks::testing {

/// The disk as time goes on: what has been synced, and what came since.
struct Platter {
  Files safe;
  std::map<std::string, std::vector<const DiskOp*>> open;  // since the file's last sync

  void step(const DiskOp& op);

  enum class Kept { none, all, some };
  /// One state that a power cut may leave; `some`: reordered, and torn at 512 bytes.
  Files cut(Kept kept, std::mt19937& rng) const;
};

/// The kernel drops the pages of a file, after a sync that failed: what is read from now on is what
/// the disk has.
void evict(Disk& disk, const std::string& file);

/// A copy that shares nothing: recovery writes, and the platter must stay as it is.
Files copy_of(const Files& files);

}  // namespace reeve::tasks::testing
