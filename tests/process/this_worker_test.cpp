// What a task may ask: the context of its own thread, else that of the process, else nothing.
#include <reeve/process/this_worker.hpp>

#include <thread>

#include "tests/support/pch.hpp"

namespace reeve::process {
namespace {

class Fake final : public TaskContext {
 public:
  explicit Fake(std::string_view name) : name_(name) {}
  bool stop_requested() const noexcept override { return stop; }
  void report_progress(double percent, std::string_view) noexcept override { seen = percent; }
  std::pmr::memory_resource* memory() noexcept override { return &own; }
  std::string_view device() const noexcept override { return name_; }

  bool stop = false;
  double seen = -1;
  std::pmr::monotonic_buffer_resource own;

 private:
  std::string_view name_;
};

TEST(ThisWorker, outside_of_a_worker_does_nothing) {
  EXPECT_FALSE(this_worker::stop_requested());
  this_worker::report_progress(50, "half");
  EXPECT_EQ(this_worker::memory(), std::pmr::get_default_resource());
  EXPECT_EQ(this_worker::device(), "");
}

TEST(ThisWorker, asks_the_context_of_its_thread_first) {
  Fake whole("whole"), own("own");
  TaskContext::enter(&whole, true);
  TaskContext::enter(&own);
  EXPECT_EQ(this_worker::device(), "own");
  EXPECT_EQ(this_worker::memory(), &own.own);
  own.stop = true;
  EXPECT_TRUE(this_worker::stop_requested());
  this_worker::report_progress(25);
  EXPECT_EQ(own.seen, 25);
  EXPECT_EQ(whole.seen, -1);
  std::thread([] { EXPECT_EQ(this_worker::device(), "whole") << "other threads"; }).join();
  TaskContext::enter(nullptr);
  EXPECT_EQ(this_worker::device(), "whole");
  EXPECT_FALSE(this_worker::stop_requested());
  TaskContext::enter(nullptr, true);
  EXPECT_EQ(this_worker::device(), "");
}

}  // namespace
}  // namespace reeve::process
