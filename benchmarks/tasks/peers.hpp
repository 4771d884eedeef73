// The peers of the task store's benchmark: redis-server on loopback, SQLite one row per
// transaction, fdatasync.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <string>

namespace bench {

struct Rate {
  double per_second = 0;
  double p50_us = 0;
  double p99_us = 0;
  double cpu_us = 0;  // of everybody who took part: here, and the server
};

enum class Append { never, every_second, always };

/// A redis-server of our own on a free loopback port, stopped at the end. `ok()` is false without
/// one.
class Redis {
 public:
  Redis(const std::string& directory, Append append);
  ~Redis();
  Redis(const Redis&) = delete;
  Redis& operator=(const Redis&) = delete;
  bool ok() const { return ok_; }
  /// `connections` coroutines, one SET of 256 bytes at a time over `ids` keys.
  Rate set(int connections, int ids, double seconds);
  /// Keys of `bytes` each, in one pipeline.
  void fill(int keys, int bytes);
  /// Waits until it answers a PING, also while it loads; false when it does not.
  bool answers();

 private:
  int pid_ = -1;
  unsigned short port_ = 0;
  bool ok_ = false;
};

/// Seconds from the start of a redis-server to its first answer, with `keys` of `bytes` in its log.
double redis_load_seconds(const std::string& directory, int keys, int bytes);
Rate sqlite_one_row(const std::string& directory, int ids, double seconds);
Rate raw_fdatasync(const std::string& directory, double seconds);

}  // namespace bench
