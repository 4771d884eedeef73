// Shared objects that come and go with every write: their memory is kept by the thread.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <utility>

namespace reeve::tasks::detail {

#if defined(__SANITIZE_ADDRESS__)
inline constexpr std::size_t kept_blocks_max = 0;
#elif defined(__has_feature)
inline constexpr std::size_t kept_blocks_max = __has_feature(address_sanitizer) ? 0 : 256;
#else
inline constexpr std::size_t kept_blocks_max = 256;
#endif

/// Blocks of one size that this thread has given back, the last one first: still in its caches,
/// where malloc would hand out the one that was given back longest ago. Few are kept, and none with
/// AddressSanitizer, which looks at what is used after it was freed.
template <std::size_t size, std::size_t align, std::size_t most = kept_blocks_max>
class KeptBlocks {
 public:
  static void* take() {
    if (kept.first == nullptr) return ::operator new(size);
    --kept.count;
    return std::exchange(kept.first, kept.first->next);
  }
  static void give(void* block) noexcept {
    if (kept.count >= kept.room) return ::operator delete(block);
    if (kept.first == nullptr) (void)&end;  // it is made when it is named
    ++kept.count;
    kept.first = new (block) Block{kept.first};
  }
  static std::size_t count() noexcept { return kept.count; }

 private:
  struct Block {
    Block* next;
  };
  static_assert(size >= sizeof(Block) && align <= __STDCPP_DEFAULT_NEW_ALIGNMENT__);
  // Without a destructor: other objects of a thread may give back after `end` has ended.
  struct Kept {
    Block* first = nullptr;
    std::size_t count = 0, room = most;
  };
  struct End {
    ~End() {
      kept.room = 0;
      while (kept.first != nullptr) ::operator delete(std::exchange(kept.first, kept.first->next));
    }
  };
  static inline thread_local constinit Kept kept;
  static inline thread_local End end;
};

template <class T>
struct Recycler {
  using value_type = T;
  Recycler() noexcept = default;
  template <class U>
  Recycler(const Recycler<U>&) noexcept {}
  T* allocate(std::size_t) { return static_cast<T*>(KeptBlocks<sizeof(T), alignof(T)>::take()); }
  void deallocate(T* at, std::size_t) noexcept { KeptBlocks<sizeof(T), alignof(T)>::give(at); }
  template <class U>
  friend bool operator==(const Recycler&, const Recycler<U>&) noexcept {
    return true;
  }
};

/// As std::make_shared.
template <class T, class... Args>
std::shared_ptr<T> make_recycled(Args&&... args) {
  return std::allocate_shared<T>(Recycler<T>(), std::forward<Args>(args)...);
}

}  // namespace reeve::tasks::detail
