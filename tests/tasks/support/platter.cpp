// Applies recorded operations to file contents, whole or torn.
#include "tests/tasks/support/platter.hpp"

#include <cstring>

namespace reeve::tasks::testing {
namespace {

void apply(Bytes& content, const DiskOp& op, std::mt19937* torn) {
  if (op.kind == DiskOp::Kind::truncate) {
    content.resize(op.offset);
    return;
  }
  for (std::size_t at = 0; at < op.bytes.size();) {
    const std::size_t sector_end = ((op.offset + at) / 512 + 1) * 512 - op.offset;
    const std::size_t end = std::min(op.bytes.size(), sector_end);
    if (!torn || (*torn)() % 4 != 0) {
      if (content.size() < op.offset + end) content.resize(op.offset + end);
      std::memcpy(content.data() + op.offset + at, op.bytes.data() + at, end - at);
    }
    at = end;
  }
}

}  // namespace

void Platter::step(const DiskOp& op) {
  if (op.kind == DiskOp::Kind::failed_sync) {
    open.erase(op.file);
  } else if (op.kind == DiskOp::Kind::sync) {
    auto& content = safe[op.file];
    content = content ? std::make_shared<Bytes>(*content) : std::make_shared<Bytes>();
    bool gone = false;
    for (const DiskOp* o : open[op.file]) {
      gone = o->kind == DiskOp::Kind::unlink;
      if (gone)
        content->clear();
      else
        apply(*content, *o, nullptr);
    }
    if (gone) safe.erase(op.file);
    open.erase(op.file);
  } else {
    open[op.file].push_back(&op);
  }
}

Files Platter::cut(Kept kept, std::mt19937& rng) const {
  Files files = safe;
  for (const auto& [name, ops] : open) {
    if (kept == Kept::none) continue;
    auto& content = files[name];
    content = content ? std::make_shared<Bytes>(*content) : std::make_shared<Bytes>();
    bool gone = false;
    for (const DiskOp* op : ops) {
      if (kept == Kept::some && rng() % 2) continue;
      gone = op->kind == DiskOp::Kind::unlink;
      if (gone)
        content = std::make_shared<Bytes>();
      else
        apply(*content, *op, kept == Kept::some && rng() % 2 ? &rng : nullptr);
    }
    if (gone) files.erase(name);
  }
  return files;
}

void evict(Disk& disk, const std::string& file) {
  Platter platter;
  for (const DiskOp& op : disk.ops()) platter.step(op);
  const auto shown = disk.open(file, false);
  const std::lock_guard lock(disk.mutex);
  const auto size = shown->size();
  if (const auto& truth = platter.safe[file])
    *shown = *truth;
  else
    shown->clear();
  shown->resize(size);
}

Files copy_of(const Files& files) {
  Files copy;
  for (const auto& [name, content] : files) copy[name] = std::make_shared<Bytes>(*content);
  return copy;
}

}  // namespace reeve::tasks::testing
