// Random commands against a plain model of the state table; over SQLite also through restarts.
#include <reeve/tasks/task_store.hpp>

#include "tests/support/pch.hpp"
#include "tests/tasks/support/disk_vfs.hpp"
#include "tests/tasks/support/run.hpp"

namespace reeve::tasks {
namespace {

using testing::run;

struct ModelTask {
  std::string state = "pending";
  unsigned attempt = 0;
  double progress = 0;
  std::string value;
};

/// The rules once more, written as prose would put them.
class Model {
 public:
  std::map<std::string, ModelTask> tasks;

  bool apply(int verb, const std::string& id, int number) {
    const auto at = tasks.find(id);
    if (verb == 9) return true;
    if (verb == 0) return tasks.try_emplace(id).second || true;
    if (at == tasks.end()) return false;
    ModelTask& t = at->second;
    const bool ended = t.state == "completed" || t.state == "failed" || t.state == "cancelled";
    const std::string value = std::to_string(number % 2);
    switch (verb) {
      case 1:
        if (t.state != "pending" && t.state != "retry_wait") return false;
        t = {"running", t.attempt + 1, 0, ""};
        return true;
      case 2:
        if (t.state != "running" && t.state != "cancelling") return false;
        if (number < t.progress) return false;
        t.progress = number;
        return true;
      case 3:
        if (t.state == "completed") return t.value == value;
        if (ended || t.state == "retry_wait" || t.state == "interrupted") return false;
        t = {"completed", t.attempt, 100, value};
        return true;
      case 4:
        if (t.state == "failed") return t.value == value;
        if (ended) return false;
        t = {"failed", t.attempt, t.progress, value};
        return true;
      case 5:
        if (t.state == "running" || t.state == "cancelling")
          t.state = "cancelling";
        else if (ended && t.state != "cancelled")
          return false;
        else
          t.state = "cancelled";
        return true;
      case 6:
        if (t.state == "failed")
          t.state = "pending";
        else if (t.state == "interrupted")
          t.state = "retry_wait";
        else
          return false;
        return true;
      case 7:
        if (t.state != "running") return false;
        t.state = "retry_wait";
        return true;
      case 8:
        if (t.state == "running" || t.state == "cancelling") return false;
        tasks.erase(at);
        return true;
      default:
        return true;
    }
  }

  void restart() {
    for (auto& [id, t] : tasks)
      if (t.state == "running" || t.state == "cancelling") t.state = "interrupted";
  }
};

bool perform(boost::asio::io_context& context, TaskStore& store, int verb, const std::string& id,
             int number) {
  const std::string value = std::to_string(number % 2);
  try {
    switch (verb) {
      case 0:
        run(context, store.create_task(id));
        return true;
      case 1:
        run(context, store.start_task(id));
        return true;
      case 2:
        run(context, store.update_task_progress(id, number));
        return true;
      case 3:
        run(context, store.complete_task(id, Json::parse(value)));
        return true;
      case 4:
        run(context, store.fail_task(id, value));
        return true;
      case 5:
        run(context, store.cancel_task(id));
        return true;
      case 6:
        run(context, store.retry_task(id));
        return true;
      case 7:
        run(context, store.schedule_retry(id, WallTime{}, "x"));
        return true;
      case 8:
        return run(context, store.delete_task_status(id));
      default:
        return true;
    }
  } catch (const TaskError& e) {
    return false;
  }
}

void compare(const TaskStore& store, const Model& model) {
  RC_ASSERT(store.counts().total() == model.tasks.size());
  for (const auto& [id, t] : model.tasks) {
    const auto r = store.get_task_status(id);
    RC_ASSERT(r.has_value());
    RC_ASSERT(std::string(to_string(r->state())) == t.state);
    RC_ASSERT(r->attempt() == t.attempt);
    RC_ASSERT(r->progress() == t.progress);
    if (t.state == "completed") RC_ASSERT(std::string(r->result()) == t.value);
    if (t.state == "failed") RC_ASSERT(std::string(r->error()) == t.value);
  }
}

void check(bool on_disk) {
  static int serial = 0;
  testing::Disk disk("model-" + std::to_string(++serial));
  disk.record(false);
  boost::asio::io_context context;
  StoreConfig config;
  if (on_disk) {
    config.path = "/disk/tasks.db";
    config.vfs = disk.name();
    config.reserve = ByteSize{0};
  }
  Model model;
  auto store = std::make_unique<TaskStore>(context.get_executor(), config);
  const auto commands = *rc::gen::container<std::vector<std::tuple<int, int, int>>>(
      rc::gen::tuple(rc::gen::inRange(0, 10), rc::gen::inRange(0, 4), rc::gen::inRange(0, 101)));
  for (const auto& [verb, who, number] : commands) {
    const std::string id = "t" + std::to_string(who);
    if (verb == 9 && on_disk && number < 30) {
      store.reset();
      store = std::make_unique<TaskStore>(context.get_executor(), config);
      model.restart();
    } else {
      const bool expected = model.apply(verb, id, number);
      RC_ASSERT(perform(context, *store, verb, id, number) == expected);
    }
    compare(*store, model);
  }
}

RC_GTEST_PROP(StoreModel, MemoryAgrees, ()) {
  check(false);
}
RC_GTEST_PROP(StoreModel, SqliteAgreesThroughRestarts, ()) {
  check(true);
}

}  // namespace
}  // namespace reeve::tasks
