// Pages of a list while tasks come, go and change: nothing twice, nothing missed that stayed.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <reeve/tasks/task_store.hpp>
#include <thread>

#include "tests/support/pch.hpp"
#include "tests/tasks/support/disk_vfs.hpp"
#include "tests/tasks/support/run.hpp"

namespace reeve::tasks {
namespace {

using testing::run;

/// What the lists of a store must agree with: its tasks in order of creation.
class Model {
 public:
  struct Task {
    TaskState state = TaskState::pending;
    bool present = true;
    bool stayed = true;  // there, and in one state, since `begin_paging`
  };

  Model(boost::asio::io_context& context, TaskStore& store) : context_(context), store_(store) {}

  static std::string id_of(std::size_t number) { return fmt::format("t{:04}", number); }
  const std::vector<Task>& tasks() const { return tasks_; }
  void begin_paging() {
    for (Task& t : tasks_) t.stayed = true;
  }
  void create() {
    run(context_, store_.create_task(id_of(tasks_.size())));
    tasks_.emplace_back();
    tasks_.back().stayed = false;
  }
  /// The next thing that may happen to this task, or its deletion.
  void change(std::size_t number, bool removed) {
    Task& t = tasks_[number];
    if (!t.present) return;
    const std::string id = id_of(number);
    t.stayed = false;
    if (removed || t.state == TaskState::completed) {
      run(context_, store_.delete_task_status(id, true));
      t.present = false;
    } else if (t.state == TaskState::running) {
      t.state = number % 2 == 0 ? TaskState::completed : TaskState::retry_wait;
      if (t.state == TaskState::completed)
        run(context_, store_.complete_task(id));
      else
        run(context_, store_.schedule_retry(id, WallTime{}, "again"));
    } else {
      run(context_, store_.start_task(id));
      t.state = TaskState::running;
    }
  }
  void step(int number) {
    const auto which = static_cast<std::size_t>(number) / 3;
    if (number % 3 == 0 || tasks_.empty())
      create();
    else
      change(which % tasks_.size(), number % 3 == 1);
  }

 private:
  boost::asio::io_context& context_;
  TaskStore& store_;
  std::vector<Task> tasks_;
};

void pages_agree_with_the_model(const StoreConfig& config) {
  constexpr TaskState states[]{TaskState::pending, TaskState::running, TaskState::retry_wait,
                               TaskState::completed};
  boost::asio::io_context context;
  TaskStore store(context.get_executor(), config);
  Model model(context, store);
  const int mask = *rc::gen::inRange(0, 16);  // 0: every state
  TaskFilter filter;
  for (std::size_t i = 0; i < 4; ++i)
    if (mask >> i & 1) filter.states.push_back(states[i]);
  filter.limit = static_cast<std::size_t>(*rc::gen::inRange(1, 4));
  const auto wanted = [&](const Model::Task& t) {
    return filter.states.empty() ||
           std::find(filter.states.begin(), filter.states.end(), t.state) != filter.states.end();
  };

  const int before = *rc::gen::inRange(0, 30);
  for (int i = 0; i < before; ++i) model.step(*rc::gen::inRange(0, 90));
  model.begin_paging();
  std::vector<std::string> listed;
  for (;;) {
    const auto page = store.list_tasks(filter);
    RC_ASSERT(page.items.size() <= filter.limit);
    for (const auto& r : page.items) {
      const auto number = static_cast<std::size_t>(std::stoul(r.id().substr(1)));
      RC_ASSERT(model.tasks()[number].present);
      RC_ASSERT(model.tasks()[number].state == r.state());
      RC_ASSERT(wanted(model.tasks()[number]));
      listed.push_back(r.id());
    }
    if (page.next_cursor.empty()) break;
    RC_ASSERT(page.items.size() == filter.limit);
    filter.cursor = page.next_cursor;
    const int between = *rc::gen::inRange(0, 4);
    for (int i = 0; i < between && model.tasks().size() < 200; ++i)
      model.step(*rc::gen::inRange(0, 90));
  }
  RC_ASSERT(std::is_sorted(listed.begin(), listed.end()));
  RC_ASSERT(std::adjacent_find(listed.begin(), listed.end()) == listed.end());
  for (std::size_t i = 0; i < model.tasks().size(); ++i) {
    const Model::Task& t = model.tasks()[i];
    if (t.present && t.stayed && wanted(t))
      RC_ASSERT(std::binary_search(listed.begin(), listed.end(), Model::id_of(i)));
  }
}

RC_GTEST_PROP(ListingProperty, PagesInMemoryMissNothingThatStayed, ()) {
  pages_agree_with_the_model({});
}
RC_GTEST_PROP(ListingProperty, PagesOverSqliteMissNothingThatStayed, ()) {
  testing::Disk disk("listing");
  disk.record(false);
  StoreConfig config;
  config.path = "/disk/tasks.db";
  config.vfs = disk.name();
  config.reserve = ByteSize{0};
  pages_agree_with_the_model(config);
}

TEST(Listing, WhatStaysIsListedOnceWhileAnotherThreadCreatesAndDeletes) {
  boost::asio::io_context context;
  TaskStore store(context.get_executor());
  std::vector<std::string> stay;
  for (int i = 0; i < 300; ++i) {
    const std::string id = fmt::format("t{:04}", i);
    run(context, store.create_task(id));
    if (i % 3 == 0) stay.push_back(id);
  }
  std::atomic<bool> stop{false};
  std::atomic<int> changes{0};
  std::thread other([&] {
    boost::asio::io_context own;
    for (int i = 0; !stop; i = (i + 1) % 300) {
      if (i % 3 == 0) continue;
      const std::string id = fmt::format("t{:04}", i);
      if (i % 2 == 0)
        run(own, store.delete_task_status(id, true));
      else if (store.get_task_status(id)->state() == TaskState::pending)
        run(own, store.start_task(id));
      run(own, store.create_task(id));
      ++changes;
    }
  });
  TaskFilter filter;
  filter.limit = 7;
  filter.states.push_back(TaskState::pending);
  while (changes < 5000) {
    std::vector<std::string> seen;
    // What is created anew comes behind all that stays: a full list may have no end meanwhile.
    for (int pages = 0; pages < 100 && seen.size() < stay.size(); ++pages) {
      const auto page = store.list_tasks(filter);
      for (const auto& r : page.items)
        if (std::binary_search(stay.begin(), stay.end(), r.id())) seen.push_back(r.id());
      filter.cursor = page.next_cursor;
      if (filter.cursor.empty()) break;
    }
    filter.cursor.clear();
    EXPECT_EQ(seen, stay);
  }
  stop = true;
  other.join();
}

}  // namespace
}  // namespace reeve::tasks
