// The workload, and the examiner of what recovery finds.
#include "tests/tasks/support/power_cut.hpp"

#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
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

History live(DiskSync sync, bool pretend, unsigned seed, int rounds) {
  Disk disk(fmt::format("power-{}-{}-{}", static_cast<int>(sync), pretend, seed));
  disk.pretend_to_sync(pretend);
  ManualClock clock;
  ManualWallClock wall;
  StoreConfig config;
  config.path = db_path;
  config.vfs = disk.name();
  config.reserve = ByteSize{0};
  config.sync = sync;
  config.checkpoint_frames = 48;
  config.clock = &clock;
  config.wall_clock = &wall;
  config.retention.completed = config.retention.failed = config.retention.cancelled =
      std::chrono::hours{1};
  boost::asio::io_context context;
  History result;
  std::mt19937 rng(seed);
  {
    TaskStore store(context.get_executor(), config);
    auto acknowledge = [&](const TaskRecord& r, bool deleted = false) {
      result.acks.push_back({disk.op_count(), r.id(), r.revision(), deleted});
    };
    std::map<std::string, TaskRecord> ended;
    auto expire = [&](std::chrono::minutes time) {
      const auto then = wall.now_ms() + std::chrono::milliseconds(time).count();
      for (const auto& [id, r] : ended)
        if (r.expires_at() && r.expires_at()->time_since_epoch().count() <= then)
          result.releases.push_back({disk.op_count(), id, r.revision()});
      clock.advance(time);
      wall.advance(time);
    };
    auto writer = [&](int slot) -> boost::asio::awaitable<void> {
      for (int round = 0; round < rounds; ++round) {
        const std::string id = fmt::format("task-{}-{}", slot, round % 7);
        Fields body;
        const std::size_t pad = rng() % 12 == 0 ? 5000 : rng() % 600;
        body.set("round", round).set("pad", std::string(pad, 'a' + rng() % 26));
        const auto present = store.get_task_status(id);
        if (present && is_settled(present->state())) {
          const TaskRecord before = *present;
          result.releases.push_back({disk.op_count(), id, before.revision()});
          co_await store.delete_task_status(id);
          acknowledge(before, true);
        }
        const auto note = [&](const TaskRecord& r) {
          result.versions[r.revision()] = without_revision(r);
        };
        auto r = co_await store.create_task(id, body);
        note(r);
        acknowledge(r);
        r = co_await store.start_task(id);
        note(r);
        acknowledge(r);
        UpdateOptions options;
        options.durability = rng() % 2 ? Durability::sync : Durability::relaxed;
        Fields more;
        more.set("step", static_cast<int>(rng() % 100));
        r = co_await store.update_task_progress(id, rng() % 100, more, options);
        note(r);
        if (options.durability == Durability::sync) acknowledge(r);
        if (rng() % 4 == 0) {
          r = co_await store.fail_task(id, "first try");
          note(r);
          acknowledge(r);
          r = co_await store.retry_task(id);
          note(r);
          acknowledge(r);
          r = co_await store.start_task(id);
          note(r);
          acknowledge(r);
        }
        const auto end = rng() % 6;
        if (end < 2) {
          r = co_await store.fail_task(id, "error text");
        } else if (end == 2) {
          r = co_await store.cancel_task(id);
          note(r);
          acknowledge(r);
          r = co_await store.acknowledge_cancel(id, "asked");
        } else {
          if (end == 3) more.set("body", std::string(6000, 'r'));
          r = co_await store.complete_task(id, more);
        }
        note(r);
        acknowledge(r);
        ended.insert_or_assign(id, r);
        if (round % 5 == 4) co_await store.flush();
        if (rng() % 3 == 0) {  // some of what has ended expires before its id is used again
          expire(std::chrono::minutes{8});
        }
      }
    };
    for (int slot = 0; slot < 4; ++slot)
      boost::asio::co_spawn(context, writer(slot), boost::asio::detached);
    context.run();
  }
  result.ops = disk.ops();
  return result;
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
