// A disk in memory as an SQLite VFS: it records every write, sync, truncate and unlink, can run
// full, refuse a sync, or only pretend to sync.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

struct sqlite3_vfs;

namespace reeve::tasks::testing {

using Bytes = std::vector<unsigned char>;
using Files = std::map<std::string, std::shared_ptr<Bytes>>;

struct DiskOp {
  enum class Kind {
    write,
    sync,
    truncate,
    unlink,
    failed_sync,  // what it should have made durable will not be so by a later one either
  };
  Kind kind;
  std::string file;
  std::size_t offset = 0;  // of a write; the new size of a truncate
  Bytes bytes;
};

/// Threads: any.
class Disk {
 public:
  explicit Disk(std::string name);
  ~Disk();
  Disk(const Disk&) = delete;
  Disk& operator=(const Disk&) = delete;

  const std::string& name() const { return name_; }
  std::size_t op_count() const;
  int opens(const std::string& file) const;                // how often it was opened
  const std::vector<DiskOp>& ops() const { return ops_; }  // when nobody writes
  void mount(Files files);
  Files contents() const;  // a copy: what a killed process leaves

  /// Faults, each until it is taken back.
  void set_capacity(std::size_t bytes);         // writes beyond fail as on a full disk
  void full_while(std::function<bool()> full);  // no write at all; null: takes it back
  void fail_syncs(bool fail);
  void fail_writes(bool fail);
  void fail_writes_after(std::size_t writes);  // so many are still done
  void copy_on_write(bool on);                 // what overwrites needs space, too
  void hold_syncs(bool hold);                  // a sync waits until it is taken back
  bool somebody_syncs() const;                 // a sync is being held
  void pretend_to_sync(bool pretend);          // a sync that does nothing and is not recorded
  void record(bool on);

  // Called by the VFS.
  std::shared_ptr<Bytes> open(const std::string& file, bool create);
  bool exists(const std::string& file) const;
  bool write(const std::string& file, Bytes& content, const void* data, std::size_t size,
             std::size_t offset, bool& full);
  void truncate(const std::string& file, Bytes& content, std::size_t size);
  bool sync(const std::string& file);
  void unlink(const std::string& file);
  mutable std::mutex mutex;

 private:
  std::string name_;
  std::unique_ptr<sqlite3_vfs> vfs_;
  Files files_;
  std::map<std::string, int> opens_;
  std::function<bool()> full_;
  std::vector<DiskOp> ops_;
  std::size_t capacity_ = SIZE_MAX, writes_left_ = SIZE_MAX;
  std::condition_variable released_;
  bool hold_syncs_ = false;
  int held_ = 0;
  bool fail_syncs_ = false, fail_writes_ = false, pretend_ = false, record_ = true, copies_ = false;
};

}  // namespace reeve::tasks::testing
