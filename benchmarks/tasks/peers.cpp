// The peers, driven with the same number of writers, ids and bytes as the store.
#include "benchmarks/tasks/peers.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <random>
#include <string_view>
#include <thread>
#include <vector>

#include "benchmarks/tasks/measure.hpp"

namespace bench {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

asio::awaitable<void> client(unsigned short port, int seed, int ids, Meter* meter) {
  tcp::socket socket(co_await asio::this_coro::executor);
  const tcp::endpoint server(asio::ip::address_v4::loopback(), port);
  co_await socket.async_connect(server, asio::use_awaitable);
  socket.set_option(tcp::no_delay(true));
  std::mt19937 random(seed);
  const std::string value(256, 'x');
  std::string request;
  char answer[64];
  while (!meter->over()) {
    const std::string key = key_of(static_cast<int>(random() % ids));
    request = "*3\r\n$3\r\nSET\r\n$" + std::to_string(key.size()) + "\r\n" + key + "\r\n$256\r\n" +
              value + "\r\n";
    const auto begin = Meter::now();
    co_await asio::async_write(socket, asio::buffer(request), asio::use_awaitable);
    std::size_t n = 0;
    while (n < 5) n += co_await socket.async_read_some(asio::buffer(answer), asio::use_awaitable);
    meter->done(begin);
  }
}

}  // namespace

Redis::Redis(const std::string& directory, Append append) {
  asio::io_context context;
  {
    tcp::acceptor probe(context, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    port_ = probe.local_endpoint().port();
  }
  pid_ = ::fork();
  if (pid_ == 0) {
    const int null = ::open("/dev/null", O_WRONLY);
    ::dup2(null, 1);
    ::dup2(null, 2);
    const std::string port = std::to_string(port_);
    ::execlp("redis-server", "redis-server", "--port", port.c_str(), "--bind", "127.0.0.1", "--dir",
             directory.c_str(), "--save", "", "--appendonly",
             append == Append::never ? "no" : "yes", "--appendfsync",
             append == Append::always ? "always" : "everysec", nullptr);
    ::_exit(127);
  }
  ok_ = answers();
}

bool Redis::answers() {
  asio::io_context context;
  for (int i = 0; i < 30'000; ++i) {
    if (pid_ > 0 && ::waitpid(pid_, nullptr, WNOHANG) == pid_) pid_ = -1;
    if (pid_ <= 0) return false;
    tcp::socket socket(context);
    boost::system::error_code error;
    socket.connect(tcp::endpoint(asio::ip::address_v4::loopback(), port_), error);
    char answer[64] = {};
    if (!error) asio::write(socket, asio::buffer("PING\r\n", 6), error);
    if (!error) socket.read_some(asio::buffer(answer), error);
    if (!error && std::string_view(answer).starts_with("+PONG")) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds{2});
  }
  return false;
}

void Redis::fill(int keys, int bytes) {
  asio::io_context context;
  tcp::socket socket(context);
  socket.connect(tcp::endpoint(asio::ip::address_v4::loopback(), port_));
  const std::string value(bytes, 'x');
  for (int done = 0; done < keys;) {
    std::string request;
    const int end = std::min(keys, done + 1000), count = end - done;
    for (; done < end; ++done) {
      const std::string key = key_of(done);
      request += "*3\r\n$3\r\nSET\r\n$" + std::to_string(key.size()) + "\r\n" + key + "\r\n$" +
                 std::to_string(bytes) + "\r\n" + value + "\r\n";
    }
    asio::write(socket, asio::buffer(request));
    std::string answer(5 * static_cast<std::size_t>(count), '\0');
    asio::read(socket, asio::buffer(answer));
  }
}

double redis_load_seconds(const std::string& directory, int keys, int bytes) {
  {
    Redis writer(directory, Append::every_second);
    if (!writer.ok()) return 0;
    writer.fill(keys, bytes);
    std::this_thread::sleep_for(std::chrono::seconds{2});  // its log reaches the file each second
  }
  const auto begin = Meter::now();
  const Redis reader(directory, Append::every_second);
  return reader.ok() ? std::chrono::duration<double>(Meter::now() - begin).count() : 0;
}

Redis::~Redis() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

Rate Redis::set(int connections, int ids, double seconds) {
  asio::io_context context(1);
  const double server_before = cpu_seconds_of(pid_);
  Meter meter(seconds);
  for (int i = 0; i < connections; ++i)
    asio::co_spawn(context, client(port_, i, ids, &meter), asio::detached);
  context.run();
  Rate rate = meter.rate();
  const auto acks = static_cast<double>(meter.count());
  if (acks > 0) rate.cpu_us += (cpu_seconds_of(pid_) - server_before) * 1e6 / acks;
  return rate;
}

Rate sqlite_one_row(const std::string& directory, int ids, double seconds) {
  sqlite3* db = nullptr;
  const std::string path = directory + "/one-row.db";
  sqlite3_open(path.c_str(), &db);
  sqlite3_exec(db,
               "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
               "CREATE TABLE t(rid INTEGER PRIMARY KEY, v BLOB)",
               nullptr, nullptr, nullptr);
  sqlite3_stmt* put = nullptr;
  sqlite3_prepare_v2(db, "INSERT OR REPLACE INTO t VALUES(?1, ?2)", -1, &put, nullptr);
  const std::string value(256, 'x');
  std::mt19937 random(1);
  Meter meter(seconds);
  while (!meter.over()) {
    const auto begin = Meter::now();
    sqlite3_bind_int(put, 1, static_cast<int>(random() % ids));
    sqlite3_bind_blob(put, 2, value.data(), 256, SQLITE_STATIC);
    sqlite3_step(put);
    sqlite3_reset(put);
    meter.done(begin);
  }
  sqlite3_finalize(put);
  sqlite3_close(db);
  ::unlink(path.c_str());
  return meter.rate();
}

Rate raw_fdatasync(const std::string& directory, double seconds) {
  const std::string path = directory + "/raw";
  const int fd = ::open(path.c_str(), O_CREAT | O_WRONLY | O_APPEND, 0600);
  const std::string value(256, 'x');
  Meter meter(seconds);
  while (!meter.over()) {
    const auto begin = Meter::now();
    if (::write(fd, value.data(), value.size()) < 0 || ::fdatasync(fd) != 0) break;
    meter.done(begin);
  }
  ::close(fd);
  ::unlink(path.c_str());
  return meter.rate();
}

}  // namespace bench
