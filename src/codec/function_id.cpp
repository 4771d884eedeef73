// The table of loaded modules, and the checks before an offset becomes a function.
#include <reeve/codec/function_id.hpp>

#include <elf.h>
#include <fmt/format.h>
#include <link.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <mutex>

// libgcc's look-up of the unwind entry that covers an address; declared in no installed header.
extern "C" {
struct dwarf_eh_bases {
  void* tbase;
  void* dbase;
  void* func;
};
const void* _Unwind_Find_FDE(void* pc, dwarf_eh_bases* bases);
}

namespace reeve::codec {
namespace {

struct Segment {
  std::uintptr_t begin;
  std::uintptr_t end;
  bool readable;
  bool executable;
};

struct Module {
  std::uintptr_t base = 0;
  std::uint64_t id = 0;
  bool has_build_id = false;
  std::string path;
  std::vector<Segment> segments;

  const Segment* find(std::uintptr_t at, std::size_t size) const noexcept {
    for (const Segment& s : segments) {
      if (at >= s.begin && at < s.end && size <= s.end - at) return &s;
    }
    return nullptr;
  }
  std::uint64_t extent() const noexcept {
    std::uintptr_t low = ~std::uintptr_t{0}, high = 0;
    for (const Segment& s : segments) {
      low = std::min(low, s.begin);
      high = std::max(high, s.end);
    }
    return high > low ? high - low : 0;
  }
};

struct Table {
  unsigned long long additions = 0;
  unsigned long long removals = 0;
  std::vector<Module> modules;
};

std::uint64_t mix(std::uint64_t hash, std::uint64_t word) noexcept {
  hash = (hash ^ word) * 0x9e37'79b9'7f4a'7c15ULL;
  return hash ^ (hash >> 29);
}

std::uint64_t fold(const unsigned char* bytes, std::size_t size, std::uint64_t seed) noexcept {
  std::uint64_t hash = mix(seed, size);
  for (; size >= 8; bytes += 8, size -= 8) {
    std::uint64_t word;
    std::memcpy(&word, bytes, 8);
    hash = mix(hash, word);
  }
  std::uint64_t rest = 0;
  std::memcpy(&rest, bytes, size);
  hash = mix(hash, rest);
  return hash == 0 ? 1 : hash;  // 0 means "not looked up" in the cache
}

// The build-id note among the notes of one segment; its length differs between linkers.
bool find_build_id(const unsigned char* at, std::size_t size, std::uint64_t& id) noexcept {
  while (size >= sizeof(ElfW(Nhdr))) {
    ElfW(Nhdr) note;
    std::memcpy(&note, at, sizeof note);
    const std::size_t name = (std::size_t{note.n_namesz} + 3) & ~std::size_t{3};
    const std::size_t text = (std::size_t{note.n_descsz} + 3) & ~std::size_t{3};
    if (name > size || text > size || sizeof note + name + text > size) return false;
    if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
        std::memcmp(at + sizeof note, "GNU", 4) == 0 && note.n_descsz != 0) {
      id = fold(at + sizeof note + name, note.n_descsz, 1);
      return true;
    }
    at += sizeof note + name + text;
    size -= sizeof note + name + text;
  }
  return false;
}

Module describe_module(const dl_phdr_info& info) {
  Module module;
  module.base = info.dlpi_addr;
  module.path = info.dlpi_name != nullptr ? info.dlpi_name : "";
  for (int i = 0; i < info.dlpi_phnum; ++i) {
    const auto& header = info.dlpi_phdr[i];
    const std::uintptr_t begin = info.dlpi_addr + header.p_vaddr;
    if (header.p_type == PT_LOAD) {
      module.segments.push_back(Segment{begin, begin + header.p_memsz, (header.p_flags & PF_R) != 0,
                                        (header.p_flags & PF_X) != 0});
    } else if (header.p_type == PT_NOTE && !module.has_build_id) {
      module.has_build_id =
          find_build_id(reinterpret_cast<const unsigned char*>(begin), header.p_filesz, module.id);
    }
  }
  if (!module.has_build_id) {
    std::uint64_t hash = 2;
    for (const Segment& s : module.segments) {
      if (s.executable && s.readable) {
        hash = fold(reinterpret_cast<const unsigned char*>(s.begin), s.end - s.begin, hash);
      }
    }
    module.id = hash;
  }
  return module;
}

std::string program_path() {
  std::array<char, 4096> buffer;
  const ssize_t size = ::readlink("/proc/self/exe", buffer.data(), buffer.size());
  return size > 0 ? std::string(buffer.data(), static_cast<std::size_t>(size))
                  : std::string("program");
}

struct Walk {
  Table* table = nullptr;
  std::exception_ptr failure;
};

int add_module(dl_phdr_info* info, std::size_t, void* context) {
  auto& walk = *static_cast<Walk*>(context);
  try {
    walk.table->additions = info->dlpi_adds;
    walk.table->removals = info->dlpi_subs;
    if (info->dlpi_name != nullptr && std::strncmp(info->dlpi_name, "linux-vdso", 10) == 0)
      return 0;
    walk.table->modules.push_back(describe_module(*info));
  } catch (...) {  // must not unwind through the dynamic linker
    walk.failure = std::current_exception();
    return 1;
  }
  return 0;
}

int read_counters(dl_phdr_info* info, std::size_t, void* context) {
  auto& table = *static_cast<Table*>(context);
  table.additions = info->dlpi_adds;
  table.removals = info->dlpi_subs;
  return 1;
}

// The table of now: built again only when dlopen or dlclose changed the counters of the dynamic
// linker.
std::shared_ptr<const Table> table_now() {
  static std::mutex mutex;
  static auto& cached =
      *new std::shared_ptr<const Table>;  // never destroyed: used until the last exit handler
  Table counters;
  ::dl_iterate_phdr(&read_counters, &counters);
  const std::lock_guard lock(mutex);
  if (cached != nullptr && cached->additions == counters.additions &&
      cached->removals == counters.removals) {
    return cached;
  }
  auto table = std::make_shared<Table>();
  Walk walk{table.get(), nullptr};
  ::dl_iterate_phdr(&add_module, &walk);
  if (walk.failure != nullptr) std::rethrow_exception(walk.failure);
  if (!table->modules.empty() && table->modules.front().path.empty()) {
    table->modules.front().path = program_path();
  }
  cached = table;
  return cached;
}

FunctionId identify_address(std::uintptr_t address, const char* what) {
  const auto table = table_now();
  for (const Module& module : table->modules) {
    if (module.find(address, 1) != nullptr) return {module.id, address - module.base};
  }
  throw FunctionError(
      fmt::format("{} at {:#x} lies in no loaded module: it was unloaded with dlclose, or "
                  "generated at run time; pass a function "
                  "of the program or of a library it is linked with",
                  what, address));
}

const Module& find_module(const Table& table, FunctionId id) {
  const Module* found = nullptr;
  for (const Module& module : table.modules) {
    if (module.id != id.module) continue;
    if (found != nullptr) {
      throw FunctionError(
          fmt::format("modules '{}' and '{}' are copies of one build ({:016x}), so a function in "
                      "them is ambiguous: load only one",
                      found->path, module.path, id.module));
    }
    found = &module;
  }
  if (found != nullptr) return *found;
  throw FunctionError(
      fmt::format("module {:016x} of a function (offset {:#x}) is not loaded in this worker: it "
                  "was opened with dlopen after the "
                  "worker's program started, replaced on disk, or the worker runs another build; "
                  "link the library to the program, "
                  "or restart the program after an update",
                  id.module, id.offset));
}

[[noreturn]] void reject(const Module& module, FunctionId id, const char* why) {
  throw FunctionError(
      fmt::format("offset {:#x} of module '{}' ({:016x}) is no function that can be called: {}; "
                  "the sender runs another build or "
                  "its message is damaged",
                  id.offset, module.path, id.module, why));
}

bool is_executable(const Table& table, std::uintptr_t at) noexcept {
  for (const Module& module : table.modules) {
    const Segment* segment = module.find(at, 1);
    if (segment != nullptr) return segment->executable;
  }
  return false;
}

// Reads a mapped place that may be part of any object: by words, because the address sanitizer
// would report the gaps that it puts between globals.
__attribute__((no_sanitize("address"))) TaskDescriptor read_descriptor(std::uintptr_t at) noexcept {
  const auto* from = reinterpret_cast<const volatile TaskDescriptor*>(at);
  return {{from->magic[0], from->magic[1]}, from->self, from->call, from->cache};
}

// True if an unwind entry starts exactly at `at`, which lies in an executable segment.
bool starts_function(std::uintptr_t at) noexcept {
  dwarf_eh_bases bases{};
  const void* entry = _Unwind_Find_FDE(reinterpret_cast<void*>(at), &bases);
  return entry != nullptr && reinterpret_cast<std::uintptr_t>(bases.func) == at;
}

}  // namespace

FunctionId identify_uncached(const TaskDescriptor& descriptor) {
  const auto id =
      identify_address(reinterpret_cast<std::uintptr_t>(&descriptor), "task descriptor");
  descriptor.cache->offset.store(id.offset, std::memory_order_relaxed);
  descriptor.cache->module.store(id.module, std::memory_order_release);
  return id;
}

const TaskDescriptor& resolve(FunctionId id) {
  const auto table = table_now();
  const Module& module = find_module(*table, id);
  const std::uintptr_t at = module.base + id.offset;  // a wrapped sum fails the look-up below
  const Segment* segment = module.find(at, sizeof(TaskDescriptor));
  if (segment == nullptr) reject(module, id, "it lies outside the module's loaded segments");
  if (!segment->readable) reject(module, id, "its segment is not readable");
  if (at % alignof(TaskDescriptor) != 0)
    reject(module, id, "it is not aligned as a task descriptor is");
  const TaskDescriptor found = read_descriptor(at);
  if (std::memcmp(found.magic, descriptor_magic, sizeof descriptor_magic) != 0) {
    reject(module, id, "no task descriptor is there");
  }
  if (reinterpret_cast<std::uintptr_t>(found.self) != at) {
    reject(module, id, "what is there is a copy of a task descriptor");
  }
  if (!is_executable(*table, reinterpret_cast<std::uintptr_t>(found.call))) {
    reject(module, id, "its call does not point to executable memory");
  }
  return *reinterpret_cast<const TaskDescriptor*>(at);
}

FunctionId identify_code(const void* code) {
  if (code == nullptr)
    throw FunctionError("a null function pointer cannot be run: pass a function");
  const auto at = reinterpret_cast<std::uintptr_t>(code);
  const FunctionId id = identify_address(at, "function");
  const auto table = table_now();
  if (!is_executable(*table, at) || !starts_function(at)) {
    throw FunctionError(
        fmt::format("pointer {} is not where a function starts, as far as unwind tables tell (a "
                    "stub of a non-PIE program, or code "
                    "built without them): use run<&function>(...) or a captureless lambda, which "
                    "need no such check",
                    describe(id)));
  }
  return id;
}

const void* resolve_code(FunctionId id) {
  const auto table = table_now();
  const Module& module = find_module(*table, id);
  const std::uintptr_t at = module.base + id.offset;
  const Segment* segment = module.find(at, 1);
  if (segment == nullptr) reject(module, id, "it lies outside the module's loaded segments");
  if (!segment->executable) reject(module, id, "its segment is not executable");
  if (!starts_function(at)) reject(module, id, "no function starts there");
  return reinterpret_cast<const void*>(at);
}

std::vector<ModuleInfo> loaded_modules() {
  std::vector<ModuleInfo> infos;
  for (const Module& m : table_now()->modules) {
    infos.push_back(ModuleInfo{m.path, m.id, m.extent(), m.has_build_id});
  }
  return infos;
}

std::uint64_t program_id() {
  const auto table = table_now();
  return table->modules.empty() ? 0 : table->modules.front().id;
}

std::uint64_t module_fingerprint() {
  std::vector<std::uint64_t> ids;
  for (const Module& m : table_now()->modules) ids.push_back(m.id);
  std::sort(ids.begin(), ids.end());
  std::uint64_t hash = ids.size();
  for (const std::uint64_t id : ids) hash = mix(hash, id);
  return hash;
}

std::string describe(FunctionId id) {
  for (const Module& m : table_now()->modules) {
    if (m.id == id.module)
      return fmt::format("{}+{:#x} (module {:016x})", m.path, id.offset, id.module);
  }
  return fmt::format("offset {:#x} of unknown module {:016x}", id.offset, id.module);
}

}  // namespace reeve::codec
