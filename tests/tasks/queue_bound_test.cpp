// Writers beyond StoreConfig::queue_max: they sleep until the disk has taken some, are told of a
// close, and may be cancelled.
#include <boost/asio/bind_cancellation_slot.hpp>
#include <map>
#include <reeve/tasks/task_store.hpp>
#include <thread>

#include "tests/support/pch.hpp"
#include "tests/tasks/support/disk_vfs.hpp"
#include "tests/tasks/support/run.hpp"

namespace reeve::tasks {
namespace {

using boost::asio::awaitable;

class QueueBoundTest : public ::testing::Test {
 protected:
  StoreConfig config() {
    disk_.record(false);
    StoreConfig c;
    c.path = "/disk/tasks.db";
    c.vfs = disk_.name();
    c.reserve = ByteSize{0};
    c.queue_max = ByteSize{1ULL << 20};
    return c;
  }
  void poll() {
    context_.restart();
    context_.poll();
  }
  /// Starts a write, whose answer is in `answers_` once there is one.
  void spawn(const std::string& name, awaitable<TaskRecord> write) {
    boost::asio::co_spawn(
        context_, std::move(write),
        boost::asio::bind_cancellation_slot(signals_[name].slot(),
                                            [this, name](std::exception_ptr e, const TaskRecord&) {
                                              answers_[name] = word_for(e);
                                            }));
    poll();
  }
  static std::string word_for(const std::exception_ptr& thrown) {
    try {
      if (thrown) std::rethrow_exception(thrown);
    } catch (const TaskError& error) {
      return std::string(to_string(error.code()));
    } catch (const boost::system::system_error& error) {
      return error.code() == boost::asio::error::operation_aborted ? "aborted" : error.what();
    }
    return "done";
  }
  void cancel(const std::string& name) {
    signals_[name].emit(boost::asio::cancellation_type::terminal);
    poll();
  }
  /// A sync is held, and what waits for it is more than the bound.
  void fill(TaskStore& store) {
    disk_.hold_syncs(true);
    spawn("first", store.create_task("first"));
    while (!disk_.somebody_syncs()) std::this_thread::yield();
    spawn("asked before", store.start_task("nobody"));
    EXPECT_EQ(answers_["asked before"], "not_found") << "below the bound an answer comes at once";
    Fields large;
    large.set("pad", std::string(60'000, 'x'));
    for (int i = 0; i < writers_; ++i) {
      const std::string name = "large" + std::to_string(i);
      spawn(name, store.create_task(name, large));
    }
  }
  void release() {
    disk_.hold_syncs(false);
    context_.restart();
    context_.run();
  }

  static constexpr int writers_ = 18;  // of 60,000 bytes: 1,080,000, just over 1 MiB
  testing::Disk disk_{"queue bound"};
  boost::asio::io_context context_;
  std::map<std::string, boost::asio::cancellation_signal> signals_;
  std::map<std::string, std::string> answers_;
};

TEST_F(QueueBoundTest, AWriterBeyondItSleepsAndGoesOnWhenTheDiskHasTakenSome) {
  TaskStore store(context_.get_executor(), config());
  fill(store);
  // Refused as soon as it is looked at, which needs no disk.
  spawn("asked beyond", store.start_task("nobody"));
  spawn("beyond", store.create_task("beyond"));
  EXPECT_FALSE(answers_.contains("asked beyond"));
  release();
  EXPECT_EQ(answers_["asked beyond"], "not_found");
  EXPECT_EQ(answers_["beyond"], "done");
  for (int i = 0; i < writers_; ++i) EXPECT_EQ(answers_["large" + std::to_string(i)], "done");
  EXPECT_TRUE(store.get_task_status("beyond"));
  EXPECT_EQ(store.counts().total(), 2u + writers_);
}

TEST_F(QueueBoundTest, AWriterThatIsCancelledThereHasWrittenNothingAndTheNextGoesOn) {
  TaskStore store(context_.get_executor(), config());
  fill(store);
  spawn("given up", store.create_task("given up"));
  spawn("next", store.create_task("next"));
  cancel("given up");
  EXPECT_EQ(answers_["given up"], "aborted");
  cancel("large0");  // below the bound: under way, and written
  EXPECT_EQ(answers_["large0"], "aborted");
  EXPECT_FALSE(answers_.contains("next"));
  release();
  EXPECT_EQ(answers_["next"], "done");
  EXPECT_FALSE(store.get_task_status("given up"));
  EXPECT_TRUE(store.get_task_status("large0"));
  spawn("again", store.create_task("given up"));
  release();
  EXPECT_EQ(answers_["again"], "done");
}

TEST_F(QueueBoundTest, AtCloseWhoSleepsIsToldAndWhatWasUnderWayIsWritten) {
  {
    TaskStore store(context_.get_executor(), config());
    fill(store);
    spawn("asleep", store.create_task("asleep"));
    std::thread closer([&store] { store.close(); });
    // Its coroutine runs here, so that it comes to write only after the close.
    disk_.hold_syncs(false);
    closer.join();
    release();
    EXPECT_EQ(answers_["asleep"], "closed");
    EXPECT_EQ(answers_["large17"], "done");
  }
  TaskStore store(context_.get_executor(), config());
  EXPECT_EQ(store.counts().total(), 1u + writers_);
  EXPECT_FALSE(store.get_task_status("asleep"));
}

}  // namespace
}  // namespace reeve::tasks
