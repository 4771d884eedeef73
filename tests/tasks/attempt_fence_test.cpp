// The attempt fence: no verb that names another attempt than the current one changes the record.
#include <functional>
#include <reeve/tasks/task_store.hpp>

#include "tests/support/pch.hpp"
#include "tests/tasks/support/run.hpp"

namespace reeve::tasks {
namespace {

using boost::asio::awaitable;
using testing::code_of;
using testing::run;

struct Fenced {
  const char* name;
  std::function<awaitable<TaskRecord>(TaskStore&, UpdateOptions)> write;
  TaskState from;  // where the current attempt may write so
};

/// Every awaited verb that takes an attempt.
std::vector<Fenced> fenced_verbs() {
  using enum TaskState;
  Fields note, status;
  note.set("note", "x");
  status.set("status", "failed").set("error", "x");
  return {
      {"set_task_status(fields)",
       [note](auto& s, auto o) { return s.set_task_status("t", note, o); }, running},
      {"set_task_status(status in fields)",
       [status](auto& s, auto o) { return s.set_task_status("t", status, o); }, running},
      {"set_task_status(state)",
       [](auto& s, auto o) { return s.set_task_status("t", completed, Fields(), o); }, running},
      {"start_task", [](auto& s, auto o) { return s.start_task("t", o); }, retry_wait},
      {"update_task_progress",
       [](auto& s, auto o) { return s.update_task_progress("t", 50, Fields(), o); }, running},
      {"complete_task", [](auto& s, auto o) { return s.complete_task("t", Json(), o); }, running},
      {"fail_task", [](auto& s, auto o) { return s.fail_task("t", "x", "", o); }, running},
      {"schedule_retry", [](auto& s, auto o) { return s.schedule_retry("t", WallTime{}, "x", o); },
       running},
      {"cancel_task", [](auto& s, auto o) { return s.cancel_task("t", o); }, running},
      {"acknowledge_cancel", [](auto& s, auto o) { return s.acknowledge_cancel("t", "x", o); },
       cancelling},
      {"retry_task", [](auto& s, auto o) { return s.retry_task("t", o); }, failed},
  };
}

class AttemptFenceTest : public ::testing::TestWithParam<bool> {
 protected:
  AttemptFenceTest() {
    StoreConfig config;
    if (GetParam()) config.path = dir_.file("tasks.db");
    store_.emplace(context_.get_executor(), config);
  }
  /// Record "t" of attempt 2 in `state`, whatever it was.
  TaskRecord put(TaskState state) {
    run(context_, store_->delete_task_status("t", true));
    run(context_, store_->create_task("t"));
    run(context_, store_->start_task("t"));
    run(context_, store_->schedule_retry("t", WallTime{}, "again"));
    run(context_, store_->start_task("t"));
    if (state == TaskState::retry_wait)
      run(context_, store_->schedule_retry("t", WallTime{}, "again"));
    if (state == TaskState::cancelling) run(context_, store_->cancel_task("t"));
    if (state == TaskState::completed) run(context_, store_->complete_task("t"));
    if (state == TaskState::failed) run(context_, store_->fail_task("t", "x"));
    if (state == TaskState::cancelled) run(context_, store_->acknowledge_cancel("t", "x"));
    const auto now = store_->get_task_status("t");
    EXPECT_EQ(now->state(), state);
    EXPECT_EQ(now->attempt(), 2u);
    return *now;
  }
  static UpdateOptions of_attempt(std::uint32_t number) {
    UpdateOptions options;
    options.attempt = number;
    return options;
  }

  testing::TempDir dir_;
  boost::asio::io_context context_;
  std::optional<TaskStore> store_;
};

INSTANTIATE_TEST_SUITE_P(Backends, AttemptFenceTest, ::testing::Values(false, true),
                         [](const auto& i) { return i.param ? "Sqlite" : "Memory"; });

TEST_P(AttemptFenceTest, NoVerbOfAnotherAttemptChangesARecordInAnyState) {
  using enum TaskState;
  const auto verbs = fenced_verbs();
  for (const TaskState state : {running, retry_wait, cancelling, completed, failed, cancelled}) {
    const TaskRecord before = put(state);
    for (const Fenced& verb : verbs)
      for (const std::uint32_t other : {1u, 3u})
        EXPECT_EQ(code_of([&] { run(context_, verb.write(*store_, of_attempt(other))); }),
                  TaskErrc::stale_attempt)
            << verb.name << " of attempt " << other << " while " << to_string(state);
    for (const std::uint32_t other : {1u, 3u}) {
      EXPECT_FALSE(store_->post_progress("t", 60, of_attempt(other)));
      EXPECT_FALSE(store_->post_progress("t", 60, Fields().set("note", "x"), of_attempt(other)));
    }
    EXPECT_EQ(store_->get_task_status("t")->to_json(), before.to_json());
  }
}

TEST_P(AttemptFenceTest, TheCurrentAttemptPasses) {
  for (const Fenced& verb : fenced_verbs()) {
    const TaskRecord before = put(verb.from);
    EXPECT_EQ(code_of([&] { run(context_, verb.write(*store_, of_attempt(2))); }), std::nullopt)
        << verb.name;
    EXPECT_GT(store_->get_task_status("t")->revision(), before.revision()) << verb.name;
  }
  put(TaskState::running);
  EXPECT_TRUE(store_->post_progress("t", 60, of_attempt(2)));
  EXPECT_TRUE(store_->post_progress("t", 60, Fields().set("note", "x"), of_attempt(2)));
}

TEST_P(AttemptFenceTest, NoAttemptBringsADeletedTaskBack) {
  UpdateOptions stale;
  stale.attempt = 1;
  for (const Fenced& verb : fenced_verbs()) {
    EXPECT_EQ(code_of([&] { run(context_, verb.write(*store_, stale)); }), TaskErrc::not_found)
        << verb.name;
    EXPECT_FALSE(store_->get_task_status("t")) << verb.name;
  }
}

TEST_P(AttemptFenceTest, ARecordThatWasNeverStartedHasNoAttemptToWriteFor) {
  run(context_, store_->create_task("t"));
  const TaskRecord before = *store_->get_task_status("t");
  for (const Fenced& verb : fenced_verbs())
    EXPECT_EQ(code_of([&] { run(context_, verb.write(*store_, of_attempt(1))); }),
              TaskErrc::stale_attempt)
        << verb.name;
  EXPECT_EQ(store_->get_task_status("t")->to_json(), before.to_json());
}

}  // namespace
}  // namespace reeve::tasks
