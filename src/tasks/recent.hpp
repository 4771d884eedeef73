// What one transaction says about each row, as the bytes that the table `recent` keeps.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <reeve/tasks/record.hpp>
#include <string>
#include <string_view>

namespace reeve::tasks::detail {

/// The last word of `recent` on a row.
struct RecentEntry {
  enum class Kind : std::uint8_t {
    erased = 0,
    row = 1,
    in_table = 2,  ///< the table has it: what was said before is out of date
  };
  Kind kind = Kind::in_table;
  bool foreign = false;                    ///< of another prefix: its id here is the whole one
  std::shared_ptr<const RecordData> data;  ///< of Kind::row; the result is not in it
};

/// A larger row goes into the table directly: to write it twice would gain nothing.
bool is_small(const RecordData& r);
/// Appends `r`; its result is kept elsewhere.
void append_row(std::string& body, const RecordData& r, std::string_view prefix);
/// Appends that row `rid` is erased, or in the table.
void append_mark(std::string& body, RecentEntry::Kind kind, std::uint64_t rid);

/// Calls `each` for every record of `body`, in order. False: it is damaged.
bool read_recent(std::string_view body, std::string_view prefix,
                 const std::function<void(std::uint64_t rid, RecentEntry)>& each);

}  // namespace reeve::tasks::detail
