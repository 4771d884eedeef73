// The VFS glue of the disk in memory.
#include "tests/tasks/support/disk_vfs.hpp"

#include <sqlite3.h>

#include <algorithm>
#include <cstring>

namespace reeve::tasks::testing {
namespace {

struct File {
  sqlite3_file base;
  Disk* disk;
  std::string* name;
  std::shared_ptr<Bytes>* content;
  bool scratch;
};

File& self(sqlite3_file* f) {
  return *reinterpret_cast<File*>(f);
}
Disk& disk_of(sqlite3_vfs* v) {
  return *static_cast<Disk*>(v->pAppData);
}

int close_file(sqlite3_file* f) {
  delete self(f).name;
  delete self(f).content;
  return SQLITE_OK;
}

int read_file(sqlite3_file* f, void* to, int size, sqlite3_int64 offset) {
  const std::lock_guard lock(self(f).disk->mutex);
  const Bytes& b = **self(f).content;
  std::memset(to, 0, size);
  if (static_cast<std::size_t>(offset) >= b.size()) return SQLITE_IOERR_SHORT_READ;
  const auto n = std::min<std::size_t>(size, b.size() - offset);
  std::memcpy(to, b.data() + offset, n);
  return n == static_cast<std::size_t>(size) ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

int write_file(sqlite3_file* f, const void* from, int size, sqlite3_int64 offset) {
  bool full = false;
  const bool done = self(f).disk->write(*self(f).name, **self(f).content, from, size, offset, full);
  return done ? SQLITE_OK : full ? SQLITE_FULL : SQLITE_IOERR_WRITE;
}

int truncate_file(sqlite3_file* f, sqlite3_int64 size) {
  self(f).disk->truncate(*self(f).name, **self(f).content, size);
  return SQLITE_OK;
}

int sync_file(sqlite3_file* f, int) {
  return self(f).disk->sync(*self(f).name) ? SQLITE_OK : SQLITE_IOERR_FSYNC;
}

int file_size(sqlite3_file* f, sqlite3_int64* size) {
  const std::lock_guard lock(self(f).disk->mutex);
  *size = static_cast<sqlite3_int64>((*self(f).content)->size());
  return SQLITE_OK;
}

int lock_file(sqlite3_file*, int) {
  return SQLITE_OK;
}
int is_reserved_lock(sqlite3_file*, int* out) {
  return *out = 0, SQLITE_OK;
}
int control(sqlite3_file*, int, void*) {
  return SQLITE_NOTFOUND;
}
int sector_size(sqlite3_file*) {
  return 512;
}
int characteristics(sqlite3_file*) {
  return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

const sqlite3_io_methods methods{
    1,         close_file, read_file,        write_file, truncate_file, sync_file,      file_size,
    lock_file, lock_file,  is_reserved_lock, control,    sector_size,   characteristics};

int open_file(sqlite3_vfs* v, const char* name, sqlite3_file* f, int flags, int* out) {
  File& file = self(f);
  const std::string path = name ? name : "scratch";
  auto content = disk_of(v).open(path, (flags & SQLITE_OPEN_CREATE) != 0);
  file.base.pMethods = nullptr;
  if (!content) return SQLITE_CANTOPEN;
  file.base.pMethods = &methods;
  file.disk = &disk_of(v);
  file.name = new std::string(path);
  file.content = new std::shared_ptr<Bytes>(std::move(content));
  if (out) *out = flags;
  return SQLITE_OK;
}

int delete_file(sqlite3_vfs* v, const char* name, int sync_directory) {
  disk_of(v).unlink(name);
  if (sync_directory != 0) disk_of(v).sync(name);  // SQLite relies on it for its rollback journal
  return SQLITE_OK;
}

int access_file(sqlite3_vfs* v, const char* name, int, int* out) {
  *out = disk_of(v).exists(name);
  return SQLITE_OK;
}

int full_path(sqlite3_vfs*, const char* name, int size, char* out) {
  sqlite3_snprintf(size, out, "%s", name);
  return SQLITE_OK;
}

}  // namespace

Disk::Disk(std::string name) : name_(std::move(name)), vfs_(std::make_unique<sqlite3_vfs>()) {
  sqlite3_initialize();
  const sqlite3_vfs* os = sqlite3_vfs_find(nullptr);
  *vfs_ = sqlite3_vfs{};
  vfs_->iVersion = 1;
  vfs_->szOsFile = sizeof(File);
  vfs_->mxPathname = 512;
  vfs_->zName = name_.c_str();
  vfs_->pAppData = this;
  vfs_->xOpen = open_file;
  vfs_->xDelete = delete_file;
  vfs_->xAccess = access_file;
  vfs_->xFullPathname = full_path;
  vfs_->xRandomness = os->xRandomness;
  vfs_->xSleep = os->xSleep;
  vfs_->xCurrentTime = os->xCurrentTime;
  vfs_->xGetLastError = os->xGetLastError;
  sqlite3_vfs_register(vfs_.get(), 0);
}

Disk::~Disk() {
  sqlite3_vfs_unregister(vfs_.get());
}

std::size_t Disk::op_count() const {
  const std::lock_guard lock(mutex);
  return ops_.size();
}
int Disk::opens(const std::string& file) const {
  const std::lock_guard lock(mutex);
  const auto at = opens_.find(file);
  return at == opens_.end() ? 0 : at->second;
}
void Disk::mount(Files files) {
  const std::lock_guard lock(mutex);
  files_ = std::move(files);
}
Files Disk::contents() const {
  const std::lock_guard lock(mutex);
  Files copy;
  for (const auto& [name, content] : files_) copy[name] = std::make_shared<Bytes>(*content);
  return copy;
}
void Disk::set_capacity(std::size_t bytes) {
  const std::lock_guard lock(mutex);
  capacity_ = bytes;
}
void Disk::full_while(std::function<bool()> full) {
  const std::lock_guard lock(mutex);
  full_ = std::move(full);
}
void Disk::fail_syncs(bool fail) {
  const std::lock_guard lock(mutex);
  fail_syncs_ = fail;
}
void Disk::fail_writes(bool fail) {
  const std::lock_guard lock(mutex);
  fail_writes_ = fail;
}
void Disk::fail_writes_after(std::size_t writes) {
  const std::lock_guard lock(mutex);
  writes_left_ = writes;
}
void Disk::copy_on_write(bool on) {
  const std::lock_guard lock(mutex);
  copies_ = on;
}
void Disk::hold_syncs(bool hold) {
  const std::lock_guard lock(mutex);
  hold_syncs_ = hold;
  released_.notify_all();
}
bool Disk::somebody_syncs() const {
  const std::lock_guard lock(mutex);
  return held_ != 0;
}
void Disk::pretend_to_sync(bool pretend) {
  const std::lock_guard lock(mutex);
  pretend_ = pretend;
}
void Disk::record(bool on) {
  const std::lock_guard lock(mutex);
  record_ = on;
}

std::shared_ptr<Bytes> Disk::open(const std::string& file, bool create) {
  const std::lock_guard lock(mutex);
  ++opens_[file];
  auto at = files_.find(file);
  if (at == files_.end()) {
    if (!create) return nullptr;
    at = files_.emplace(file, std::make_shared<Bytes>()).first;
  }
  return at->second;
}

bool Disk::exists(const std::string& file) const {
  const std::lock_guard lock(mutex);
  return files_.contains(file);
}

bool Disk::write(const std::string& file, Bytes& content, const void* data, std::size_t size,
                 std::size_t offset, bool& full) {
  const std::lock_guard lock(mutex);
  if (fail_writes_ || writes_left_ == 0) return false;
  if (writes_left_ != SIZE_MAX) --writes_left_;
  full = full_ && full_();
  if (full) return false;
  const std::size_t grown = std::max(offset + size, content.size()) - content.size();
  if (const std::size_t needed = copies_ ? size : grown; needed != 0) {
    std::size_t used = needed;
    for (const auto& [name, bytes] : files_) used += bytes->size();
    full = used > capacity_;
    if (full) return false;
  }
  content.resize(content.size() + grown);
  std::memcpy(content.data() + offset, data, size);
  const auto* p = static_cast<const unsigned char*>(data);
  if (record_) ops_.push_back(DiskOp{DiskOp::Kind::write, file, offset, Bytes(p, p + size)});
  return true;
}

void Disk::truncate(const std::string& file, Bytes& content, std::size_t size) {
  const std::lock_guard lock(mutex);
  content.resize(size);
  if (record_) ops_.push_back(DiskOp{DiskOp::Kind::truncate, file, size, {}});
}

bool Disk::sync(const std::string& file) {
  std::unique_lock lock(mutex);
  ++held_;
  released_.wait(lock, [this] { return !hold_syncs_; });
  --held_;
  const auto kind = fail_syncs_ ? DiskOp::Kind::failed_sync : DiskOp::Kind::sync;
  if (record_ && !pretend_) ops_.push_back(DiskOp{kind, file, 0, {}});
  return !fail_syncs_;
}

void Disk::unlink(const std::string& file) {
  const std::lock_guard lock(mutex);
  files_.erase(file);
  if (record_) ops_.push_back(DiskOp{DiskOp::Kind::unlink, file, 0, {}});
}

}  // namespace reeve::tasks::testing
