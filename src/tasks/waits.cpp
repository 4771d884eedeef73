// Who waits for the end of a task: a queue for each task that is waited for, beside its stripe.
#include <fmt/format.h>

#include "tasks/engine.hpp"

namespace reeve::tasks::detail {

WaitQueuePtr Engine::take_waits(const EntryPtr& entry) {
  if (!entry->awaited) return nullptr;
  entry->awaited = false;
  auto node = stripe_of(*entry->id).waits.extract(entry.get());
  return std::move(node.mapped());
}

RecordPtr Engine::wait_or_answer(std::string_view id, EntryPtr& entry, WaitQueuePtr& queue) {
  if (closed())
    throw TaskError(TaskErrc::closed, "the task store has been closed; nobody can wait for it");
  Stripe& stripe = stripe_of(id);
  const auto at = stripe.places.find(id);
  if (at == stripe.places.end() || is_expired(*at->entry))
    throw TaskError(TaskErrc::not_found, fmt::format("there is no task '{}' to wait for", id));
  entry = at->entry;
  if (entry->visible && is_settled(entry->visible->state)) return entry->visible;
  if (!entry->awaited) stripe.waits.emplace(entry.get(), std::make_shared<WaitQueue>());
  entry->awaited = true;
  queue = stripe.waits.at(entry.get());
  return nullptr;
}

}  // namespace reeve::tasks::detail
