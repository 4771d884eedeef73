// What a record says of itself, and that a handle never changes.
#include <reeve/tasks/record.hpp>
#include <reeve/tasks/task_store.hpp>

#include "tests/support/pch.hpp"
#include "tests/tasks/support/run.hpp"

namespace reeve::tasks {
namespace {

using testing::run;

class RecordTest : public ::testing::Test {
 protected:
  RecordTest() {
    config_.clock = &clock_;
    config_.wall_clock = &wall_;
  }
  ManualClock clock_;
  ManualWallClock wall_;
  StoreConfig config_;
  boost::asio::io_context context_;
};

TEST_F(RecordTest, AHandleKeepsItsVersion) {
  TaskStore store(context_.get_executor(), config_);
  const auto before = run(context_, store.create_task("t"));
  run(context_, store.start_task("t"));
  EXPECT_EQ(before.state(), TaskState::pending);
  EXPECT_LT(before.revision(), store.get_task_status("t")->revision());
}

TEST_F(RecordTest, JsonHoldsEverything) {
  TaskStore store(context_.get_executor(), config_);
  Fields fields;
  fields.set("a", "q\"");
  run(context_, store.create_task("t\"x", fields));
  run(context_, store.start_task("t\"x"));
  const auto failed = run(context_, store.fail_task("t\"x", "line\nbreak", "time_limit"));
  EXPECT_EQ(failed.to_json(),
            R"({"id":"t\"x","status":"failed","attempt":1,"revision":3,"progress":0,)"
            R"("created_at":1700000000000,"updated_at":1700000000000,)"
            R"("finished_at":1700000000000,"expires_at":1700086400000,)"
            R"("error":"line\u000abreak","reason":"time_limit","a":"q\""})");
  EXPECT_NO_THROW(Json::parse(failed.to_json()));
}

TEST_F(RecordTest, ATasksOwnRetentionOverridesTheStores) {
  TaskStore store(context_.get_executor(), config_);
  CreateOptions brief;
  brief.ttl = std::chrono::seconds{5};
  run(context_, store.create_task("t", Fields(), brief));
  run(context_, store.cancel_task("t"));
  clock_.advance(std::chrono::seconds{5});
  EXPECT_FALSE(store.get_task_status("t"));
}

}  // namespace
}  // namespace reeve::tasks
