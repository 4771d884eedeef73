// The hook between the items of a chunk, one per thread.
#include <reeve/codec/task.hpp>

#include <utility>

namespace reeve::codec {
namespace {
constinit thread_local BetweenItems current_hook = nullptr;
}  // namespace

BetweenItems exchange_between_items(BetweenItems hook) noexcept {
  return std::exchange(current_hook, hook);
}

BetweenItems detail::between_items() noexcept {
  return current_hook;
}

}  // namespace reeve::codec
