// What a start finds on disk: what died becomes interrupted, clock jumps neither delete nor
// immortalise.
#include <fmt/format.h>

#include <algorithm>

#include "tasks/engine.hpp"

namespace reeve::tasks::detail {
namespace {

constexpr std::int64_t week_ms = 7LL * 24 * 3600 * 1000;
constexpr std::int64_t grace_ms = 3600 * 1000;
constexpr std::uint64_t revision_gap = 1 << 20;

/// What is left of a record's retention, in milliseconds.
std::int64_t remaining_ms(const RecordData& r, std::int64_t now, std::int64_t last_seen) {
  const std::int64_t kept =
      std::clamp<std::int64_t>(r.expires_ms - r.finished_ms, 0, kept_max.count());
  const std::int64_t left =
      std::clamp<std::int64_t>(r.expires_ms - std::max(now, last_seen), 0, kept);
  const bool jumped_ahead = last_seen > 0 && now - last_seen > week_ms;
  return left == 0 && jumped_ahead ? std::min(grace_ms, kept) : left;
}

}  // namespace

std::shared_ptr<RecordData> Engine::classify(std::shared_ptr<RecordData> r,
                                             std::int64_t now) const {
  const bool working = r->state == TaskState::running || r->state == TaskState::cancelling;
  const bool dropped =
      r->state == TaskState::pending && config_.pending_on_restart == PendingOnRestart::interrupt;
  if (!working && !dropped) return nullptr;
  const bool retry = r->retry_after_crash && r->state == TaskState::running;
  Command interrupt(Verb::interrupt);
  interrupt.outcome.reason =
      r->state == TaskState::cancelling ? "restart_while_cancelling" : "restart";
  auto decision = decide(*r->id, r.get(), interrupt, now, retention_);
  if (!retry || !decision.next) return decision.next;
  Command again(Verb::retry);
  again.retry_at_ms = now;
  return decide(*r->id, decision.next.get(), again, now, retention_).next;
}

void Engine::load() {
  std::vector<std::shared_ptr<RecordData>> records;
  JournalMeta found = journal_->load(
      [&records](std::shared_ptr<RecordData> r) { records.push_back(std::move(r)); });
  const std::int64_t now = now_ms();
  std::int64_t last_seen = found.last_wall_ms;
  for (const auto& r : records) last_seen = std::max(last_seen, r->updated_ms);
  epoch_ = found.epoch + 1;
  hub_.set_epoch(epoch_ & 0x3fffff);
  next_rid_ = found.next_rid;
  next_revision_ = found.next_revision + (found.clean ? 0 : revision_gap);

  std::vector<std::size_t> load(stripe_count);
  for (const auto& r : records) ++load[&stripe_of(*r->id) - stripes_.get()];
  for (std::size_t i = 0; i < stripe_count; ++i) stripes_[i].places.reserve(load[i]);
  std::vector<JournalRow> rows;
  for (auto& r : records) {
    bool changed = false;
    if (auto next = classify(r, now)) {
      r = std::move(next);
      changed = true;
    }
    std::int64_t left = never_ms;
    if (r->expires_ms != never_ms) left = remaining_ms(*r, now, last_seen);
    if (now < last_seen && (r->updated_ms > now || r->finished_ms > now || left != never_ms)) {
      // The wall clock went back: anchor what was written in its future at the present.
      r->updated_ms = std::min(r->updated_ms, now);
      r->created_ms = std::min(r->created_ms, now);
      if (r->finished_ms != never_ms) r->finished_ms = std::min(r->finished_ms, now);
      if (left != never_ms) r->expires_ms = now + left;
      changed = true;
    }
    if (changed) {
      r->revision = next_revision_++;
      rows.push_back(JournalRow{r->rid, r});
    }
    auto entry = std::make_shared<Entry>(r->id);
    entry->rid = r->rid;
    entry->visible = entry->staged = r;
    if (!stripe_of(*r->id).places.emplace(entry).second)
      throw TaskError(TaskErrc::bad_format,
                      fmt::format("'{}' holds task '{}' twice: it was changed by another program; "
                                  "remove one row",
                                  config_.path, *r->id));
    auto& index = index_[static_cast<std::size_t>(r->state)];
    index.emplace_hint(index.end(), entry->rid, entry);
    if (left != never_ms) {
      entry->expires = config_.clock->now() + std::chrono::milliseconds{left};
      due_.push(Due{entry->expires, entry});
    }
  }
  const JournalMeta opened = meta(false);
  try {
    journal_->commit(rows, &opened);
    meta_written_ = std::chrono::steady_clock::now();
  } catch (const TaskError& error) {
    if (error.code() != TaskErrc::storage_full) throw;
    // A full disk can be read, and tasks on it deleted: what should have been written goes with the
    // next write that succeeds.
    for (const JournalRow& row : rows)
      repairs_.emplace(row.rid, stripe_of(*row.data->id).places.find(*row.data->id)->entry);
    health_.degraded = true;
    health_.cause = error.what();
    ++health_.failures;
  }
}

}  // namespace reeve::tasks::detail
