// The workload, and the examiner of what recovery finds.
#include "tests/tasks/support/power_cut.hpp"

#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <map>
#include <random>

#include "tasks/journal.hpp"
#include "tests/tasks/support/platter.hpp"

namespace reeve::tasks::testing {
namespace {

constexpr const char* db_path = "/disk/tasks.db";

std::string without_revision(const TaskRecord& r) {
  return r.to_json();
}

class Examiner {
 public:
  Examiner(const History& run, Disk& replay) : run_(run), replay_(replay) {
    config_.path = db_path;
    config_.vfs = replay.name();
    config_.reserve = ByteSize{0};
    replay.record(false);
  }

  void advance(std::size_t ops) {
    while (next_ < run_.acks.size() && run_.acks[next_].ops <= ops) {
      const auto& ack = run_.acks[next_++];
      due_[ack.id] = &ack;
    }
    for (; next_release_ < run_.releases.size() && run_.releases[next_release_].ops <= ops;
         ++next_release_) {
      const Release& release = run_.releases[next_release_];
      released_[release.id] = release.revision;
    }
  }

  void examine(const Files& files, Findings& f, const std::string& where) {
    ++f.states;
    auto note = [&](std::size_t& counter, const std::string& what) {
      ++counter;
      if (!f.first.empty()) return;
      f.first = where + ": " + what;
      f.first_state = files;
    };
    replay_.mount(copy_of(files));  // recovery writes
    std::map<std::string, std::shared_ptr<const detail::RecordData>> found;
    try {
      auto journal = detail::open_sqlite_journal(config_);
      journal->load([&](std::shared_ptr<detail::RecordData> r) {
        if (!found.emplace(*r->id, r).second) note(f.corrupt, "twice: " + *r->id);
      });
    } catch (const TaskError& e) {
      note(f.corrupt, e.what());
      return;
    }
    bool lost = false;
    std::string what;
    for (const auto& [id, ack] : due_) {
      const auto at = found.find(id);
      const bool here = at != found.end();
      // Later, not yet acknowledged changes may be there or not; going back may not.
      const bool ok = ack->deleted ? !here || at->second->revision > ack->revision
                      : here       ? at->second->revision >= ack->revision
                                   : may_be_absent(*ack);
      if (!ok) {
        lost = true;
        what = id;
      }
    }
    if (lost) note(f.lost, "lost " + what);
    for (const auto& [id, record] : found) {
      const auto version = run_.versions.find(record->revision);
      if (version == run_.versions.end() || version->second != TaskRecord(record).to_json())
        note(f.phantom, "phantom " + id);
    }
  }

 private:
  bool may_be_absent(const Acknowledgement& ack) const {
    const auto at = released_.find(ack.id);
    return at != released_.end() && at->second >= ack.revision;
  }

  const History& run_;
  Disk& replay_;
  StoreConfig config_;
  std::size_t next_ = 0, next_release_ = 0;
  std::map<std::string, const Acknowledgement*> due_;
  std::map<std::string, std::uint64_t> released_;  // up to which revision
};

}  // namespace

namespace {

/// Four writers upon seven tasks each, and the notes that they take.
class Day {
 public:
  Day(DiskSync sync, bool pretend, unsigned seed, int rounds)
      : disk_(fmt::format("power-{}-{}-{}", static_cast<int>(sync), pretend, seed)),
        rounds_(rounds),
        rng_(seed) {
    disk_.pretend_to_sync(pretend);
    config_.path = db_path;
    config_.vfs = disk_.name();
    config_.reserve = ByteSize{0};
    config_.sync = sync;
    config_.checkpoint_frames = 48;
    config_.clock = &clock_;
    config_.wall_clock = &wall_;
    config_.retention.completed = config_.retention.failed = config_.retention.cancelled =
        std::chrono::hours{1};
  }

  History live() {
    boost::asio::io_context context;
    {
      TaskStore store(context.get_executor(), config_);
      store_ = &store;
      for (int slot = 0; slot < 4; ++slot)
        boost::asio::co_spawn(context, write(slot), boost::asio::detached);
      context.run();
    }
    history_.ops = disk_.ops();
    return std::move(history_);
  }

 private:
  using Writing = boost::asio::awaitable<void>;

  void note(const TaskRecord& r) { history_.versions[r.revision()] = without_revision(r); }
  void acknowledge(const TaskRecord& r, bool deleted = false) {
    if (!deleted) note(r);
    history_.acks.push_back({disk_.op_count(), r.id(), r.revision(), deleted});
  }
  void release(const TaskRecord& r) {
    history_.releases.push_back({disk_.op_count(), r.id(), r.revision()});
  }
  void pass(std::chrono::minutes time) {
    const auto then = wall_.now_ms() + std::chrono::milliseconds(time).count();
    for (const auto& [id, r] : ended_)
      if (r.expires_at() && r.expires_at()->time_since_epoch().count() <= then) release(r);
    clock_.advance(time);
    wall_.advance(time);
  }

  Writing write(int slot) {
    for (int round = 0; round < rounds_; ++round) {
      const std::string id = fmt::format("task-{}-{}", slot, round % 7);
      co_await delete_if_ended(id);
      co_await begin(id, round);
      co_await work(id);
      if (rng_() % 4 == 0) co_await fail_and_retry(id);
      co_await end(id);
      if (round % 5 == 4) co_await store_->flush();
      // Some of what has ended expires before its id is used again.
      if (rng_() % 3 == 0) pass(std::chrono::minutes{8});
    }
  }
  Writing delete_if_ended(const std::string& id) {
    const auto present = store_->get_task_status(id);
    if (!present || !is_settled(present->state())) co_return;
    release(*present);
    co_await store_->delete_task_status(id);
    acknowledge(*present, true);
  }
  Writing begin(const std::string& id, int round) {
    Fields body;
    const std::size_t pad = rng_() % 12 == 0 ? 5000 : rng_() % 600;
    body.set("round", round).set("pad", std::string(pad, 'a' + rng_() % 26));
    auto r = co_await store_->create_task(id, body);
    acknowledge(r);
    r = co_await store_->start_task(id);
    acknowledge(r);
  }
  Writing work(const std::string& id) {
    UpdateOptions options;
    options.durability = rng_() % 2 ? Durability::sync : Durability::relaxed;
    const Fields fields = step();
    const auto r = co_await store_->update_task_progress(id, rng_() % 100, fields, options);
    if (options.durability == Durability::sync)
      acknowledge(r);
    else
      note(r);
  }
  Writing fail_and_retry(const std::string& id) {
    auto r = co_await store_->fail_task(id, "first try");
    acknowledge(r);
    r = co_await store_->retry_task(id);
    acknowledge(r);
    r = co_await store_->start_task(id);
    acknowledge(r);
  }
  Writing end(const std::string& id) {
    const auto how = rng_() % 6;
    TaskRecord r;
    if (how < 2) {
      r = co_await store_->fail_task(id, "error text");
    } else if (how == 2) {
      r = co_await store_->cancel_task(id);
      acknowledge(r);
      r = co_await store_->acknowledge_cancel(id, "asked");
    } else {
      Fields result = step();
      if (how == 3) result.set("body", std::string(6000, 'r'));
      r = co_await store_->complete_task(id, result);
    }
    acknowledge(r);
    ended_.insert_or_assign(id, r);
  }
  Fields step() {
    Fields f;
    f.set("step", static_cast<int>(rng_() % 100));
    return f;
  }

  Disk disk_;
  ManualClock clock_;
  ManualWallClock wall_;
  StoreConfig config_;
  const int rounds_;
  std::mt19937 rng_;
  TaskStore* store_ = nullptr;
  History history_;
  std::map<std::string, TaskRecord> ended_;
};

}  // namespace

History live(DiskSync sync, bool pretend, unsigned seed, int rounds) {
  return Day(sync, pretend, seed, rounds).live();
}

Findings explore(const History& run, unsigned seed, int random_states) {
  Disk replay(fmt::format("replay-{}", seed));
  Examiner examiner(run, replay);
  Platter platter;
  std::mt19937 rng(seed);
  Findings f;
  for (std::size_t i = 0; i < run.ops.size(); ++i) {
    platter.step(run.ops[i]);
    examiner.advance(i + 1);
    const auto where = [&](const char* kept) {
      return fmt::format("after operation {}, {}", i, kept);
    };
    examiner.examine(platter.cut(Platter::Kept::none, rng), f, where("synced only"));
    if (platter.open.empty()) continue;
    examiner.examine(platter.cut(Platter::Kept::all, rng), f, where("all"));
    for (int k = 0; k < random_states; ++k)
      examiner.examine(platter.cut(Platter::Kept::some, rng), f, where("reordered and torn"));
  }
  return f;
}

}  // namespace reeve::tasks::testing
