// What a power cut may leave: every disk state that the recorded writes allow, recovered and
// compared with what had been acknowledged. Two controls that must lose data prove that the test
// can see a loss.
#include <fmt/format.h>

#include <cstring>
#include <random>
#include <reeve/tasks/task_store.hpp>
#include <set>

#include "tasks/journal.hpp"
#include "tests/support/pch.hpp"
#include "tests/support/sanitizers.hpp"
#include "tests/tasks/support/disk_vfs.hpp"
#include "tests/tasks/support/run.hpp"

namespace reeve::tasks {
namespace {

using testing::Bytes;
using testing::Disk;
using testing::DiskOp;
using testing::Files;

constexpr const char* db_path = "/disk/tasks.db";

/// What must be true of one id once `ops` disk operations have happened.
struct Acknowledgement {
  std::size_t ops;
  std::string id;
  std::uint64_t revision;  // at least this one
  bool deleted;            // and then it is gone
};

struct History {
  std::vector<DiskOp> ops;
  std::vector<Acknowledgement> acks;
  std::map<std::uint64_t, std::string> versions;  // everything ever submitted: revision -> JSON
};

std::string without_revision(const TaskRecord& r) {
  return r.to_json();
}

/// A day of a service: creations, starts, progress, ends, deletions, expiry, four writers at a
/// time.
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
  boost::asio::io_context context;
  History result;
  std::mt19937 rng(seed);
  {
    TaskStore store(context.get_executor(), config);
    auto acknowledge = [&](const TaskRecord& r, bool deleted = false) {
      result.acks.push_back({disk.op_count(), r.id(), r.revision(), deleted});
    };
    auto writer = [&](int slot) -> boost::asio::awaitable<void> {
      for (int round = 0; round < rounds; ++round) {
        const std::string id = fmt::format("task-{}-{}", slot, round % 7);
        Fields body;
        body.set("round", round).set("pad", std::string(rng() % 600, 'a' + rng() % 26));
        const auto present = store.get_task_status(id);
        if (present && is_settled(present->state())) {
          const TaskRecord before = *present;
          co_await store.delete_task_status(id);
          acknowledge(before, true);
        }
        auto r = co_await store.create_task(id, body);
        result.versions[r.revision()] = without_revision(r);
        acknowledge(r);
        r = co_await store.start_task(id);
        result.versions[r.revision()] = without_revision(r);
        acknowledge(r);
        UpdateOptions options;
        options.durability = rng() % 2 ? Durability::sync : Durability::relaxed;
        Fields more;
        more.set("step", static_cast<int>(rng() % 100));
        r = co_await store.update_task_progress(id, rng() % 100, more, options);
        result.versions[r.revision()] = without_revision(r);
        if (options.durability == Durability::sync) acknowledge(r);
        if (rng() % 3 == 0)
          r = co_await store.fail_task(id, "error text");
        else
          r = co_await store.complete_task(id, more);
        result.versions[r.revision()] = without_revision(r);
        acknowledge(r);
        if (round % 5 == 4) co_await store.flush();
      }
    };
    for (int slot = 0; slot < 4; ++slot)
      boost::asio::co_spawn(context, writer(slot), boost::asio::detached);
    context.run();
  }
  result.ops = disk.ops();
  return result;
}

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

/// The disk as time goes on: what is safe, and what a cut may or may not have kept.
struct Platter {
  Files safe;
  std::map<std::string, std::vector<const DiskOp*>> open;  // since the file's last sync

  void step(const DiskOp& op) {
    if (op.kind == DiskOp::Kind::sync) {
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

  enum class Kept { none, all, some };
  Files cut(Kept kept, std::mt19937& rng) const {
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
};

struct Findings {
  std::size_t states = 0, lost = 0, corrupt = 0, phantom = 0;
  std::string first;
};

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
  }

  void examine(Files files, Findings& f, const std::string& where) {
    ++f.states;
    auto note = [&](std::size_t& counter, const std::string& what) {
      ++counter;
      if (f.first.empty()) f.first = where + ": " + what;
    };
    // A copy: recovery writes, and the platter must stay as it is.
    for (auto& [name, content] : files) content = std::make_shared<Bytes>(*content);
    replay_.mount(std::move(files));
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
                                   : is_deletable(*ack);
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
  /// A record may be absent when its deletion had been submitted: that is, when it had ended.
  bool is_deletable(const Acknowledgement& ack) const {
    const auto& json = run_.versions.at(ack.revision);
    return json.find("\"finished_at\"") != std::string::npos;
  }

  const History& run_;
  Disk& replay_;
  StoreConfig config_;
  std::size_t next_ = 0;
  std::map<std::string, const Acknowledgement*> due_;
};

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

TEST(PowerCut, NothingAcknowledgedIsLostInTwentyThousandStates) {
  Findings sum;
  // What is looked for here are losses, not races: a tenth of it finds those, at a tenth of the
  // pace.
  const std::size_t wanted = test::thread_sanitizer ? 2'000 : 20'000;
  for (unsigned seed = 1; sum.states < wanted; ++seed) {
    const History run = live(DiskSync::full, false, seed, 40);
    ASSERT_GT(run.acks.size(), 500u);
    const Findings f = explore(run, seed, 3);
    sum.states += f.states;
    sum.lost += f.lost;
    sum.corrupt += f.corrupt;
    sum.phantom += f.phantom;
    if (sum.first.empty()) sum.first = f.first;
    ASSERT_GT(f.states, 500u) << "the workload must reach the disk";
  }
  std::printf("power cut: %zu states, %zu lost, %zu corrupt, %zu phantom\n", sum.states, sum.lost,
              sum.corrupt, sum.phantom);
  EXPECT_GE(sum.states, wanted);
  EXPECT_EQ(sum.lost, 0u) << sum.first;
  EXPECT_EQ(sum.corrupt, 0u) << sum.first;
  EXPECT_EQ(sum.phantom, 0u) << sum.first;
}

TEST(PowerCut, SeesTheLossesOfSynchronousNormal) {
  const Findings f = explore(live(DiskSync::normal, false, 7, 10), 7, 1);
  std::printf("control, synchronous=NORMAL: %zu of %zu states lost something\n", f.lost, f.states);
  EXPECT_GT(f.lost, f.states / 10);
}

TEST(PowerCut, SeesTheLossesOfADiskThatOnlyPretendsToSync) {
  const Findings f = explore(live(DiskSync::full, true, 8, 10), 8, 1);
  std::printf("control, sync stubbed out: %zu of %zu states lost something, %zu corrupt\n", f.lost,
              f.states, f.corrupt);
  EXPECT_GT(f.lost + f.corrupt, f.states / 10);
}

}  // namespace
}  // namespace reeve::tasks
