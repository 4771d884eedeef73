// Decides when the rows that `recent` holds are written into the table, and how many at a time.
#pragma once

#include <boost/unordered/unordered_flat_map.hpp>
#include <cstdint>
#include <span>
#include <vector>

#include "tasks/recent.hpp"

namespace reeve::tasks::detail {

/// What `recent` says that the table does not have yet. No IO: it is told what became durable and
/// answers with the next step.
///
/// A pass begins when `recent` has grown by a number of bytes. It writes the last word on every row
/// so far into the table, sorted, a step at a time, and then erases the rows of `recent` that have
/// become superfluous, oldest first. So at every moment, for every row: what `recent` says last is
/// the newest version, or `recent` says nothing and the table has it.
class FoldPlan {
 public:
  struct Item {
    std::uint64_t rid = 0;
    RecentEntry entry;
  };
  struct Step {
    std::span<const Item> rows;      // to be written into the table
    std::int64_t erase_through = 0;  // then 0; or: erase `recent` up to here
    bool empty() const noexcept { return rows.empty() && erase_through == 0; }
  };

  explicit FoldPlan(std::size_t pass_bytes) : pass_bytes_(pass_bytes) {}

  /// A durable transaction appended row `seq` of so many bytes ...
  void appended(std::int64_t seq, std::size_t bytes);
  /// ... that says this. What was said before on that row comes back in `entry`.
  void said(std::uint64_t rid, RecentEntry& entry);
  /// A failed transaction may have left a word on `rid`.
  void suspect(std::uint64_t rid);
  /// Whether `recent` may hold a word on `rid`: who writes to the table then must say so there.
  bool may_hold(std::uint64_t rid) const;

  /// What to do now; the same again until `done`.
  Step next(std::size_t rows_max);
  void done(const Step& step);

  /// Everything that is not in the table yet, by row; of two words on a row the newer comes later.
  std::vector<Item> rest() const;
  /// `recent` is empty.
  void clear();

 private:
  Item* find_folding(std::uint64_t rid);
  void begin_pass();

  std::size_t pass_bytes_;
  std::size_t fresh_bytes_ = 0;
  boost::unordered_flat_map<std::uint64_t, RecentEntry> fresh_;  // since the pass began
  std::vector<Item> folding_;                                    // of the pass, sorted
  std::size_t at_ = 0;                                           // the first one not yet written
  std::int64_t oldest_ = 0, last_ = 0;                           // of `recent`; 0: it is empty
  std::int64_t through_ = 0;                                     // of the pass; 0: there is none
  std::int64_t erased_at_once_ = 0;
};

}  // namespace reeve::tasks::detail
