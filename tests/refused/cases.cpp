// Programs that must not compile, each with the sentence that its first error says: see refused.py.
#include <boost/asio/awaitable.hpp>
#include <memory>
#include <reeve/manager.hpp>
#include <reeve/pool.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace asio = boost::asio;

double half(double x) {
  return x / 2;
}
void nothing(double) {}
int length(int* p) {
  return *p;
}
const char* name(double) {
  return "x";
}
std::string_view view(double) {
  return "x";
}
double& reference(double) {
  static double value = 0;
  return value;
}
void change(std::vector<double>& values) {
  values.clear();
}
struct Handle {
  explicit Handle(int fd) : fd_(fd) {}
  int fd() const { return fd_; }

 private:
  int fd_;
};
int use(const Handle& handle) {
  return handle.fd();
}

const std::vector<double> items(10, 1.0);
double factor = 3;
int number = 0;

asio::awaitable<void> right(reeve::WorkerLease& worker, reeve::ResourcePool& pool,
                            reeve::ManagedPool& managed) {
#if defined(REEVE_CASE_right)  // compiles
  const double x = co_await worker.run<&half>(1.0);
  const std::vector<double> mapped = co_await worker.map(&half, items);
  const auto halves = co_await parallel_map(pool, "x", &half, items);
  const std::vector<double> all = managed.map<&half>(items);
  const double y = managed.submit<&half>(x).get() + mapped[0] + halves[0] + all[0];
  static_cast<void>(y);
#endif
  static_cast<void>(sizeof(worker) + sizeof(pool) + sizeof(managed));
  co_return;
}

asio::awaitable<void> run(reeve::WorkerLease& worker) {
  const auto captures = [f = factor](double x) { return x * f; };
  const auto captures_by_default = [&](double x) { return x; };
  static_cast<void>(sizeof(worker) + sizeof(captures) + sizeof(captures_by_default));
#if defined(REEVE_CASE_run_captures)  // this callable captures or holds data
  const double x = co_await worker.run(captures, 1.0);
#elif defined(REEVE_CASE_run_default_capture)  // this callable cannot be made anew in the worker
  const double x = co_await worker.run(captures_by_default, 1.0);
#elif defined(REEVE_CASE_run_pointer)          // an argument has no byte form
  const int x = co_await worker.run<&length>(&number);
#elif defined(REEVE_CASE_run_private_members)  // an argument has no byte form
  const Handle handle(3);
  const int x = co_await worker.run<&use>(handle);
#elif defined(REEVE_CASE_run_limits_pointer)   // an argument has no byte form
  const reeve::RunLimits limits(std::chrono::milliseconds(5));
  const int x = co_await worker.run<&length>(limits, &number);
#elif defined(REEVE_CASE_run_other_arguments)  // the function cannot be called with these arguments
  const double x = co_await worker.run<&half>(std::string("one"));
#elif defined(REEVE_CASE_run_too_many)         // the function cannot be called with these arguments
  const double x = co_await worker.run<&half>(1.0, 2.0);
#elif defined( \
    REEVE_CASE_run_changes_argument)           // the function cannot be called with these arguments
  std::vector<double> values(3);
  co_await worker.run<&change>(values);
#elif defined(REEVE_CASE_run_returns_pointer)  // the result of this task has no owning byte form
  const std::string x = co_await worker.run<&name>(1.0);
#elif defined(REEVE_CASE_run_returns_view)     // the result of this task has no owning byte form
  const std::string x(co_await worker.run<&view>(1.0));
#elif defined(REEVE_CASE_run_returns_reference)  // a task must not return a reference
  const double x = co_await worker.run<&reference>(1.0);
#endif
  co_return;
}

asio::awaitable<void> map(reeve::WorkerLease& worker, reeve::ResourcePool& pool) {
  const auto captures = [f = factor](double x) { return x * f; };
  static_cast<void>(sizeof(worker) + sizeof(pool) + sizeof(captures));
#if defined(REEVE_CASE_map_captures)  // this callable captures or holds data
  const std::vector<double> results = co_await worker.map(captures, items);
#elif defined(REEVE_CASE_map_nothing)   // map collects results, and this function returns nothing
  co_await worker.map(&nothing, items);
#elif defined(REEVE_CASE_map_no_range)  // map goes over items that can be counted
  const std::vector<double> results = co_await worker.map(&half, 3.0);
#elif defined(REEVE_CASE_parallel_map_captures)    // this callable captures or holds data
  const std::vector<double> results = co_await parallel_map(pool, "x", captures, items);
#elif defined(REEVE_CASE_parallel_map_wrong_item)  // the function cannot be called with these
  const std::vector<std::string> words(3);
  const std::vector<double> results = co_await parallel_map(pool, "x", &half, words);
#elif defined(REEVE_CASE_parallel_map_pointers)    // an argument has no byte form
  const std::vector<int*> pointers(3);
  const std::vector<int> results = co_await parallel_map(pool, "x", &length, pointers);
#elif defined(REEVE_CASE_parallel_map_view)     // the result of this task has no owning byte form
  const std::vector<std::string> results = co_await parallel_map(pool, "x", &view, items);
#elif defined(REEVE_CASE_parallel_map_nothing)  // map collects results, and this function returns
  co_await parallel_map(pool, "x", &nothing, items);
#elif defined(REEVE_CASE_parallel_map_swapped)  // map goes over items that can be counted
  const std::vector<double> results = co_await parallel_map(pool, "x", items, &half);
#endif
  co_return;
}

asio::awaitable<void> manage(reeve::ManagedPool& managed) {
  const auto captures = [f = factor](double x) { return x * f; };
  static_cast<void>(sizeof(managed) + sizeof(captures));
#if defined(REEVE_CASE_managed_map_captures)  // this callable captures or holds data
  const std::vector<double> results = managed.map(captures, items);
#elif defined(REEVE_CASE_managed_map_wrong_item)  // the function cannot be called with these
  const std::vector<std::string> words(3);
  const std::vector<double> results = managed.map<&half>(words);
#elif defined(REEVE_CASE_managed_map_nothing)     // map collects results, and this function returns
  const std::vector<double> results = managed.map(&nothing, items);
#elif defined(REEVE_CASE_managed_async_map_captures)  // this callable captures or holds data
  const std::vector<double> results = co_await managed.async_map(captures, items);
#elif defined(REEVE_CASE_managed_submit_pointer)      // an argument has no byte form
  const int x = managed.submit<&length>(&number).get();
#elif defined(REEVE_CASE_managed_async_submit_view)   // the result of this task has no owning byte
  const std::string x(co_await managed.async_submit(&view, 1.0));
#elif defined(REEVE_CASE_initializer_captures)        // this callable captures or holds data
  reeve::ResourceConfig config;
  config.initializer = reeve::Initializer::make(captures, 1.0);
#endif
  co_return;
}
