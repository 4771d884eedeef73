// The seam between the records in memory and what keeps them: append a batch, load, close.
#pragma once

#include <functional>
#include <memory>
#include <reeve/tasks/error.hpp>
#include <reeve/tasks/record.hpp>
#include <reeve/tasks/store_config.hpp>
#include <span>
#include <vector>

namespace reeve::tasks::detail {

struct JournalRow {
  std::uint64_t rid = 0;
  std::shared_ptr<const RecordData> data;  // null: erase
};

struct JournalMeta {
  std::uint64_t epoch = 0;
  std::uint64_t next_revision = 1;
  std::uint64_t next_rid = 1;
  std::int64_t last_wall_ms = 0;
  bool clean = true;
};

/// One owner, one thread at a time. A failed `commit` has changed nothing that `load` would return,
/// or the journal is unusable until `reopen`.
class Journal {
 public:
  virtual ~Journal() = default;
  virtual JournalMeta load(const std::function<void(std::shared_ptr<RecordData>)>& record) = 0;
  /// Durable when it returns. Throws TaskError(storage_full, io_error).
  virtual void commit(std::span<const JournalRow> rows, const JournalMeta* meta) = 0;
  /// Versions that the last commit has replaced, to be destroyed on a writers' thread: memory that
  /// another one gives back is slow to get again.
  virtual std::vector<std::shared_ptr<const RecordData>> take_replaced() = 0;
  /// What can wait until the writers have their answers: folding the log, the reserve. `idle`: no
  /// writer waits for the next commit.
  virtual void maintain(bool idle) noexcept = 0;
  virtual void close(const JournalMeta& meta) noexcept = 0;
};

/// Opens, creates or migrates the file. Throws TaskError(locked, bad_format, io_error).
std::unique_ptr<Journal> open_sqlite_journal(const StoreConfig& config);

}  // namespace reeve::tasks::detail
