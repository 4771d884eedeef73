// Single flight: one load for any number of callers, owned by none of them.
#include <fmt/format.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>

#include <reeve/base/model_name.hpp>
#include "cache/shelf.hpp"

namespace reeve::cache::detail {

namespace asio = boost::asio;
using asio::awaitable;

namespace {

using ImplPtr = std::shared_ptr<Core::Impl>;
using FlightPtr = std::shared_ptr<Flight>;

std::exception_ptr aborted() {
  return std::make_exception_ptr(boost::system::system_error(asio::error::operation_aborted));
}

/// Lands the load, also one whose coroutine is destroyed before it ends.
class Landing {
 public:
  Landing(ImplPtr impl, std::string id, FlightPtr flight, ModelMetadata metadata)
      : impl_(std::move(impl)),
        id_(std::move(id)),
        flight_(std::move(flight)),
        metadata_(metadata) {}
  Landing(const Landing&) = delete;
  Landing& operator=(const Landing&) = delete;
  ~Landing() {
    if (flight_) land({}, aborted());
  }
  void land(std::pair<Core::Value, ByteSize> loaded, std::exception_ptr failure) {
    const FlightPtr flight = std::exchange(flight_, nullptr);
    impl_->land(id_, flight, metadata_, std::move(loaded), std::move(failure),
                impl_->config.clock->now() - begin_);
  }

 private:
  ImplPtr impl_;
  std::string id_;
  FlightPtr flight_;
  ModelMetadata metadata_;
  const Clock::time_point begin_ = impl_->config.clock->now();
};

awaitable<void> fly(ImplPtr impl, std::string id, FlightPtr flight, Core::Loader loader,
                    ModelMetadata metadata) {
  Landing landing(std::move(impl), std::move(id), std::move(flight), metadata);
  std::pair<Core::Value, ByteSize> loaded;
  std::exception_ptr failure;
  try {
    auto loading = loader();
    loaded = co_await std::move(loading);
  } catch (...) {
    failure = std::current_exception();
  }
  landing.land(std::move(loaded), failure);
}

/// One caller's place at a load; the last to leave stops it.
class Passenger {
 public:
  /// Mutex held.
  Passenger(ImplPtr impl, std::string id, FlightPtr flight, FlightPtr from)
      : impl_(std::move(impl)),
        id_(std::move(id)),
        flight_(std::move(flight)),
        from_(std::move(from)),
        waiter_(std::in_place, impl_->mutex, flight_->waiters) {
    if (from_) from_->waits_for.push_back(flight_.get());
    flight_->waiters.push_back(*waiter_);
  }
  Passenger(const Passenger&) = delete;
  Passenger& operator=(const Passenger&) = delete;
  ~Passenger() {
    waiter_.reset();
    const std::lock_guard lock(impl_->mutex);
    if (from_) std::erase(from_->waits_for, flight_.get());
    if (flight_->landed || !flight_->waiters.empty()) return;
    flight_->kept = false;
    if (const auto at = impl_->flights.find(id_);
        at != impl_->flights.end() && at->second == flight_)
      impl_->flights.erase(at);
    asio::post(flight_->home, [stop = flight_->stop] { stop->emit(asio::cancellation_type::all); });
  }
  async::Waiter<Arrival>& waiter() { return *waiter_; }

 private:
  ImplPtr impl_;
  std::string id_;
  FlightPtr flight_, from_;
  std::optional<async::Waiter<Arrival>> waiter_;
};

/// A new load, which holds its reservation from now on. Mutex held.
FlightPtr prepare(Core::Impl& impl, const std::string& id, ByteSize need,
                  std::vector<Core::Value>& garbage) {
  impl.make_room(need, garbage, id);
  auto flight = std::make_shared<Flight>();
  flight->home = asio::make_strand(impl.executor);
  flight->reserved = need;
  impl.flights.emplace(id, flight);
  impl.memory += need;
  return flight;
}

}  // namespace

awaitable<Core::Value> obtain(ImplPtr impl, std::string id, Core::Loader loader,
                              ModelMetadata metadata) {
  check_model_name(id);
  const asio::any_io_executor here = co_await asio::this_coro::executor;
  std::vector<Core::Value> garbage;
  std::optional<Passenger> passenger;
  FlightPtr launched;
  {
    const std::lock_guard lock(impl->mutex);
    auto present = impl->find(id, garbage);
    if (present) co_return present;
    ++impl->counters.misses;
    FlightPtr flight;
    const FlightPtr from = impl->flight_of(here);
    if (const auto at = impl->flights.find(id); at != impl->flights.end()) {
      flight = at->second;
      if (from && leads_to(*flight, *from))
        throw CacheDeadlockError(
            fmt::format("the load of model '{}' asks for model '{}', whose load waits for it in "
                        "turn; take the inner model before the outer load begins",
                        id, id));
    } else {
      launched = flight = prepare(*impl, id, metadata.memory, garbage);
    }
    passenger.emplace(impl, id, flight, from);
  }
  garbage.clear();
  // Outside the lock: the load may begin, and even end, inside this call.
  if (launched)
    asio::co_spawn(launched->home, fly(impl, id, launched, std::move(loader), metadata),
                   asio::bind_cancellation_slot(launched->stop->slot(),
                                                [stop = launched->stop](std::exception_ptr) {}));
  co_await passenger->waiter().wait();
  auto arrival = passenger->waiter().take();
  if (!arrival) std::rethrow_exception(aborted());
  if (arrival->failure) std::rethrow_exception(arrival->failure);
  co_return std::move(arrival->value);
}

}  // namespace reeve::cache::detail
