// Workers with device slots: worker i has devices[i % size], and an acquire may ask for a kind.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdio>
#include <reeve/pool.hpp>

namespace asio = boost::asio;
using namespace std::chrono_literals;
using namespace reeve::literals;

std::string my_device() {
  return std::string(reeve::this_worker::device());
}

// [devices]
asio::awaitable<void> place(reeve::ResourcePool pool) {
  reeve::AcquireOptions second;
  second.device = "cuda:1";  // this slot
  reeve::AcquireOptions any_gpu;
  any_gpu.device = "cuda";  // any slot of this kind

  auto worker = co_await pool.acquire_worker("train", second);
  auto device = co_await worker.run<&my_device>();
  std::printf("asked for cuda:1, got %s\n", device.c_str());

  auto other = co_await pool.acquire_worker("infer", any_gpu);  // cuda:1 is taken
  device = co_await other.run<&my_device>();
  std::printf("asked for cuda, got %s\n", device.c_str());

  auto rest = co_await pool.acquire_worker("report");
  device = co_await rest.run<&my_device>();
  std::printf("asked for any, got %s\n", device.c_str());
}
// [/devices]

int main(int argc, char** argv) {
  reeve::init(argc, argv);
  asio::io_context context;
  reeve::ResourceConfig config;
  config.max_workers = 3;
  config.devices = {"cpu", "cuda:0", "cuda:1"};  // slots are names: this runs without a GPU, too
  config.worker_timeout = 30s;
  config.worker_memory = 256_MiB;
  reeve::ResourcePool pool(context.get_executor(), config);
  asio::co_spawn(context, place(pool), [](std::exception_ptr failure) {
    if (failure) std::rethrow_exception(failure);
  });
  context.run();
}
// [output]
// asked for cuda:1, got cuda:1
// asked for cuda, got cuda:0
// asked for any, got cpu
// [/output]
