// Errors and results: what was acknowledged is there, what was replaced does not come back.
#include <sqlite3.h>

#include <reeve/tasks/task_store.hpp>

#include "tests/support/pch.hpp"
#include "tests/tasks/support/run.hpp"

namespace reeve::tasks {
namespace {

using testing::code_of;
using testing::run;

class OutcomeTest : public ::testing::Test {
 protected:
  OutcomeTest() { reopen(); }
  void reopen() {
    store_.reset();
    StoreConfig config;
    config.path = dir_.file("tasks.db");
    store_.emplace(context_.get_executor(), config);
  }
  void start(const std::string& id) {
    run(context_, store_->create_task(id));
    run(context_, store_->start_task(id));
  }
  TaskRecord set(const std::string& id, std::string_view fields) {
    return run(context_, store_->set_task_status(id, Fields::parse(fields)));
  }
  std::optional<TaskErrc> refusal(const std::string& id, std::string_view fields) {
    return code_of([&] { set(id, fields); });
  }
  TaskRecord get(const std::string& id) { return store_->get_task_status(id).value(); }

  testing::TempDir dir_;
  boost::asio::io_context context_;
  std::optional<TaskStore> store_;
};

TEST_F(OutcomeTest, TheResultOfAnEarlierAttemptDoesNotComeBack) {
  start("failed again");
  set("failed again", R"({"status":"failed","error":"first","result":{"partial":1}})");
  run(context_, store_->retry_task("failed again"));
  run(context_, store_->start_task("failed again"));
  run(context_, store_->fail_task("failed again", "second"));
  start("waits");
  set("waits", R"({"status":"failed","error":"first","result":{"partial":1}})");
  reopen();
  EXPECT_EQ(get("failed again").result(), "");
  EXPECT_EQ(get("waits").result(), R"({"partial":1})");
  run(context_, store_->retry_task("waits"));
  reopen();
  EXPECT_EQ(get("waits").result(), "");
}

TEST_F(OutcomeTest, ErrorAndResultOfATaskThatGoesOnAreKept) {
  start("t");
  EXPECT_EQ(set("t", R"({"error":"disk nearly full","result":{"rows":3}})").result(),
            R"({"rows":3})");
  set("t", R"({"status":"running","result":{"rows":4}})");
  EXPECT_TRUE(store_->post_progress("t", 50));
  EXPECT_EQ(get("t").result(), R"({"rows":4})");
  EXPECT_EQ(get("t").error(), "disk nearly full");
  start("ends");
  set("ends", R"({"error":"slow","result":1})");
  run(context_, store_->complete_task("ends", Json::number(std::int64_t{2})));
  reopen();
  EXPECT_EQ(get("t").state(), TaskState::interrupted);
  EXPECT_EQ(get("t").result(), R"({"rows":4})");
  EXPECT_EQ(get("t").error(), "disk nearly full");
  EXPECT_EQ(get("t").reason(), "restart");
  EXPECT_EQ(get("ends").result(), "2");
  EXPECT_EQ(get("ends").error(), "");
}

TEST_F(OutcomeTest, ARepeatThatSaysSomethingNewIsRefused) {
  start("done");
  const char* const end = R"({"status":"completed","result":1,"where":"s3","size":7})";
  const auto first = set("done", end);
  EXPECT_EQ(set("done", end).revision(), first.revision());
  EXPECT_EQ(set("done", R"({"status":"completed","result":1,"where":"s3"})").revision(),
            first.revision());
  for (const char* other : {R"({"status":"completed","result":1,"where":"disk"})",
                            R"({"status":"completed","result":1,"more":true})",
                            R"({"status":"completed","result":1,"error":"late"})"})
    EXPECT_EQ(refusal("done", other), TaskErrc::illegal_transition) << other;
  start("failed");
  set("failed", R"({"status":"failed","error":"x"})");
  set("failed", R"({"status":"failed","error":"x"})");
  for (const char* other :
       {R"({"status":"failed","error":"x","result":1})", R"({"status":"failed","error":"x","n":1})",
        R"({"status":"failed","error":"x","progress":9})"})
    EXPECT_EQ(refusal("failed", other), TaskErrc::illegal_transition) << other;
  start("stopped");
  set("stopped", R"({"status":"cancelled"})");
  set("stopped", R"({"status":"cancelled"})");
  EXPECT_EQ(refusal("stopped", R"({"status":"cancelled","error":"late"})"),
            TaskErrc::illegal_transition);
  EXPECT_EQ(get("stopped").error(), "");
}

TEST_F(OutcomeTest, AnErrorTextHasItsLimitHoweverItIsGiven) {
  start("t");
  Fields fields;
  fields.set("status", "failed");
  fields.set("error", std::string(64 * 1024 + 1, 'e'));
  EXPECT_EQ(code_of([&] { run(context_, store_->set_task_status("t", fields)); }),
            TaskErrc::invalid_argument);
  fields.set("error", std::string(64 * 1024, 'e'));
  EXPECT_EQ(run(context_, store_->set_task_status("t", fields)).error().size(), 64u * 1024);
}

TEST_F(OutcomeTest, ARetentionThatAFileHoldsIsAHundredYearsAtMost) {
  start("t");
  run(context_, store_->complete_task("t"));
  store_.reset();
  sqlite3* db = nullptr;
  sqlite3_open(dir_.file("tasks.db").c_str(), &db);
  EXPECT_EQ(
      sqlite3_exec(db, "UPDATE task SET expires_ms=253402300799999", nullptr, nullptr, nullptr),
      SQLITE_OK);
  sqlite3_close(db);
  reopen();
  EXPECT_TRUE(store_->get_task_status("t"));
}

}  // namespace
}  // namespace reeve::tasks
