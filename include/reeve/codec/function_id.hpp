// How a function is named in another process of the same program: (module, offset), checked before
// it is called.
#pragma once

#include <reeve/codec/buffer.hpp>

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

namespace reeve::codec {

/// A function that this process cannot call: unknown module, or nothing at the offset. The text
/// says which check failed and what to do.
class FunctionError : public Error {
 public:
  using Error::Error;
};

/// A place in a loaded module, equal in every process that runs the same files.
struct FunctionId {
  std::uint64_t module =
      0;  ///< fold of the build-id, or of the executable bytes where there is none
  std::uint64_t offset = 0;  ///< from the module's load address
  bool operator==(const FunctionId&) const = default;
};

/// Decodes the arguments, calls, encodes the result. Throws DecodeError or what the function
/// throws.
using Thunk = void (*)(Reader& arguments, Writer& result);

/// The identity of a descriptor once it was looked up; lies in the descriptor's own module.
struct IdentityCache {
  std::atomic<std::uint64_t> module{0};
  std::atomic<std::uint64_t> offset{0};
};

inline constexpr std::uint64_t descriptor_magic[2] = {0x7265'6576'652d'7461ULL,
                                                      0xb3d1'9c57'e20f'684bULL};

/// What a FunctionId of a task refers to: constant-initialised, and recognisable because it points
/// to itself.
struct alignas(16) TaskDescriptor {
  std::uint64_t magic[2];
  const TaskDescriptor* self;
  Thunk call;
  IdentityCache* cache;
};

/// The id of a descriptor of this process.
///
/// Errors:  FunctionError if its module is not loaded by the dynamic linker.
/// Threads: any.
/// Cost:    two loads from the second call on; the first walks the loaded modules.
FunctionId identify_uncached(const TaskDescriptor& descriptor);
inline FunctionId identify(const TaskDescriptor& descriptor) {
  const std::uint64_t module = descriptor.cache->module.load(std::memory_order_acquire);
  if (module == 0) return identify_uncached(descriptor);
  return {module, descriptor.cache->offset.load(std::memory_order_relaxed)};
}

/// The descriptor that another process called `id`. Checked: the module is loaded here, once; the
/// place is aligned, in a loaded readable segment, carries the magic words, points to itself and to
/// a call in executable memory.
///
/// This guards against mistakes (another build, a replaced library), not against a hostile sender.
/// Errors:  FunctionError.
/// Threads: any.
/// Cost:    about 100 ns: a check that no module came or went, and a search in the table of
/// modules.
const TaskDescriptor& resolve(FunctionId id);

/// The id of a plain function. Errors: FunctionError unless `code` is where a function of a loaded
/// module starts.
FunctionId identify_code(const void* code);

/// The plain function that another process called `id`. Checked: the module is loaded here, the
/// place is executable, and an unwind entry starts exactly there. That proves a function's entry,
/// not its signature.
///
/// Errors: FunctionError.
const void* resolve_code(FunctionId id);

/// A loaded module, for handshakes and texts.
struct ModuleInfo {
  std::string path;
  std::uint64_t id = 0;
  std::uint64_t size = 0;  ///< of its address range
  bool has_build_id = false;
};

/// All modules that are loaded now, the program first.
std::vector<ModuleInfo> loaded_modules();

/// The program's own module id: two processes with different ones must not talk.
std::uint64_t program_id();

/// A number over all loaded modules in any order. It differs when one side has more modules
/// (LD_PRELOAD, dlopen) or another build of one.
std::uint64_t module_fingerprint();

/// "libsolver.so+0x1234 (module 9f3c...)": for texts about an id of this process.
std::string describe(FunctionId id);

}  // namespace reeve::codec
