// Lists in blocks of one store, against sets.
#include "alloc/slot_lists.hpp"

#include <set>

#include "tests/support/pch.hpp"

namespace reeve::alloc::detail {
namespace {

RC_GTEST_PROP(SlotLists, EqualSets, ()) {
  constexpr std::size_t count = 3;
  SlotLists lists;
  std::set<std::uint32_t> sets[count];
  for (std::size_t i = 0; i < count; ++i) lists.add_list();
  const auto steps = *rc::gen::inRange(0, 400);
  for (int i = 0; i < steps; ++i) {
    const auto at = *rc::gen::inRange<std::size_t>(0, count);
    const auto slot = *rc::gen::inRange<std::uint32_t>(0, 80);
    // Phases in which lists grow, and such in which they shrink.
    if (*rc::gen::inRange(0, 10) < (i / 100 % 2 ? 3 : 7)) {
      if (sets[at].insert(slot).second) lists.add(at, slot);
    } else {
      RC_ASSERT(lists.drop(at, slot) == (sets[at].erase(slot) == 1));
    }
    for (std::size_t l = 0; l < count; ++l) {
      const std::multiset<std::uint32_t> seen(lists[l].begin(), lists[l].end());
      RC_ASSERT(seen == std::multiset<std::uint32_t>(sets[l].begin(), sets[l].end()));
      RC_ASSERT(lists[l].empty() == sets[l].empty());
    }
  }
}

}  // namespace
}  // namespace reeve::alloc::detail
