// The hardest promise of memory: by `new` a worker never has more than its budget, and after the
// refusal never more than the reserve on top. Real kernel, measured by the worker itself.
#include <sys/resource.h>

#include <cstdlib>
#include <mutex>
#include <new>
#include <reeve/os/proc.hpp>
#include <thread>

#include "tests/pool/pool_test_support.hpp"

namespace reeve::test {
namespace {

constexpr std::uint64_t mebibyte = 1 << 20;
constexpr std::uint64_t budget = 256 * mebibyte;
constexpr std::uint64_t reserve = 16 * mebibyte;

// What RLIMIT_DATA is held against: private memory that may be written, touched or not.
struct Peaks {
  std::uint64_t before_refusal = 0;
  std::uint64_t at_all = 0;
};

// Where blocks are kept without taking memory while it is measured.
struct Block {
  Block* next;
};

/// Takes blocks by `new` until even the smallest is refused, beyond the first refusal too.
class Hoard {
 public:
  ~Hoard() {
    while (blocks_ != nullptr) ::operator delete(std::exchange(blocks_, blocks_->next));
  }
  void take(std::size_t bytes) {
    auto* const block = static_cast<Block*>(::operator new(bytes));
    for (std::size_t at = 0; at < bytes; at += 4096)
      reinterpret_cast<volatile char*>(block)[at] = 1;
    block->next = blocks_;
    blocks_ = block;
  }
  // Looks at every mebibyte.
  bool take_until_refused(std::size_t bytes, std::uint64_t& peak) {
    try {
      for (std::uint64_t taken = 0;; taken += bytes) {
        take(bytes);
        if (taken / mebibyte != (taken + bytes) / mebibyte)
          peak = std::max(peak, os::vm_data_self());
      }
    } catch (const std::bad_alloc&) {
      return true;
    }
  }

 private:
  Block* blocks_ = nullptr;
};

Peaks take_all(std::size_t first_bytes) {
  Peaks peaks;
  Hoard hoard;
  hoard.take_until_refused(first_bytes, peaks.before_refusal);
  peaks.at_all = os::vm_data_self();
  for (std::size_t bytes = 4 * mebibyte; bytes >= 64; bytes /= 2)
    hoard.take_until_refused(bytes, peaks.at_all);
  peaks.at_all = std::max(peaks.at_all, os::vm_data_self());
  return peaks;
}

Peaks take_all_in_threads(int count) {
  Peaks peaks;
  std::mutex mutex;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < count; ++i) {
      threads.emplace_back([&] {
        const Peaks own = take_all(mebibyte / 4);
        const std::lock_guard lock(mutex);
        peaks.at_all = std::max(peaks.at_all, own.at_all);
      });
    }
  }
  return peaks;
}

class MemoryBudget : public testing::Test {
 protected:
  void SetUp() override { REEVE_SKIP_UNDER_SANITIZERS(); }

  static ResourceConfig config() {
    ResourceConfig config = small_config();
    config.worker_memory = ByteSize{budget};
    config.watch_memory = false;  // the kernel alone
    return config;
  }

  asio::io_context context;
  ResourcePool pool{context.get_executor(), config()};
};

// 31, 41: small blocks come from the heap, large ones are mapped.
TEST_F(MemoryBudget, new_stays_within_budget_and_reserve) {
  for (const std::size_t bytes : {std::size_t{256}, std::size_t{64} << 10, std::size_t{1} << 20}) {
    SCOPED_TRACE(bytes);
    const Peaks peaks = run_in(context, call_once<&take_all>(pool, "greedy", bytes));
    EXPECT_LE(peaks.before_refusal, budget);
    EXPECT_GT(peaks.before_refusal, budget - reserve) << "refused too early";
    EXPECT_LE(peaks.at_all, budget + reserve);
    EXPECT_GT(peaks.at_all, budget) << "the reserve was not tried";
  }
}

// 33
TEST_F(MemoryBudget, threads_share_budget_and_reserve) {
  const Peaks peaks = run_in(context, call_once<&take_all_in_threads>(pool, "greedy", 8));
  EXPECT_LE(peaks.at_all, budget + reserve);
  EXPECT_GT(peaks.at_all, budget) << "the reserve was not tried";
}

std::uint64_t malloc_all() {
  for (void* block = nullptr;;) {
    block = std::malloc(mebibyte);
    asm volatile("" : : "r"(block) : "memory");  // or nothing is asked for at all
    if (block == nullptr) break;
  }
  return os::vm_data_self();
}

// 32: who calls malloc opens no reserve.
TEST_F(MemoryBudget, malloc_stays_within_the_budget) {
  const std::uint64_t peak = run_in(context, call_once<&malloc_all>(pool, "greedy"));
  EXPECT_LE(peak, budget);
  EXPECT_GT(peak, budget - 4 * mebibyte) << "refused too early";
}

}  // namespace
}  // namespace reeve::test
