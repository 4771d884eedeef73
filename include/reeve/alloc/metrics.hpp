// Metrics over time, and everything a dashboard shows as one value.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "reeve/alloc/contention.hpp"
#include "reeve/alloc/elastic_pool.hpp"
#include "reeve/alloc/resource_allocator.hpp"

namespace reeve::alloc {

/// Waits of granted requests, in ns.
struct WaitSummary {
  std::uint64_t granted = 0;
  Time total = 0;
  Time longest = 0;
  double mean() const { return granted == 0 ? 0 : double(total) / double(granted); }
};

/// Integrates utilisation and remembers waits and refusals.
///
/// Threads: one at a time.
class MetricsCollector {
 public:
  /// Waits of requesters beyond the first `requesters_max` are summed under "(others)".
  explicit MetricsCollector(std::size_t requesters_max = 65536) : requesters_max_(requesters_max) {}

  /// Call it whenever something changed or time passed: utilisation counts as it was before the
  /// call until now.
  void sample(const ReservationManager& manager);
  /// Takes what a cycle granted and held back. Refusals of a request that waits are counted once
  /// per reason.
  void observe(const ResourceAllocator& allocator, const CycleReport& report);

  /// Mean over time of used / capacity; 0 before time has passed.
  double mean_utilisation(DimId dim) const;
  const std::map<std::string, WaitSummary, std::less<>>& waits() const noexcept { return waits_; }
  const std::map<std::string, std::uint64_t, std::less<>>& held_back() const noexcept {
    return held_back_;
  }

 private:
  std::size_t requesters_max_;
  Amounts used_;      // at the last sample
  Amounts capacity_;  // at the last sample
  Time last_ = -1;
  std::array<double, max_dims> used_time_{};
  std::array<double, max_dims> capacity_time_{};
  std::map<std::string, WaitSummary, std::less<>> waits_;        // by requester
  std::map<std::string, std::uint64_t, std::less<>> held_back_;  // by reason
  std::map<Ticket, Code> last_reason_;
};

/// All of it at one instant, in the order of ids.
struct DashboardData {
  struct Dim {
    std::string name;
    std::int64_t capacity = 0;
    std::int64_t held = 0;
    std::int64_t committed = 0;
    std::int64_t booked = 0;
    std::int64_t free = 0;              ///< of resources that accept work; negative parts are debt
    std::int64_t debt = 0;              ///< below zero on single resources, as a positive number
    double utilisation = 0;             ///< now
    double mean_utilisation = 0;        ///< over time
    double fragmentation = 0;           ///< 1 - largest free piece / all that is free
    Counted counted = Counted::number;  ///< unit of the amounts
    friend bool operator==(const Dim&, const Dim&) = default;
  };
  struct ResourceRow {
    std::string name;
    std::string state;
    std::string of_class;  ///< its capabilities, "arch=x86_64 gpu=true"
    double utilisation = 0;
    friend bool operator==(const ResourceRow&, const ResourceRow&) = default;
  };
  struct ClassRow {
    std::string of_class;
    std::uint64_t resources = 0;
    double utilisation = 0;
    friend bool operator==(const ClassRow&, const ClassRow&) = default;
  };
  struct OwnerRow {
    std::string name;
    std::int64_t live = 0;
    std::vector<std::int64_t> used;  ///< held and committed, by dimension
    std::uint64_t granted = 0;
    double mean_wait_s = 0;
    double longest_wait_s = 0;
    friend bool operator==(const OwnerRow&, const OwnerRow&) = default;
  };
  struct ContentionRow {
    std::uint64_t id = 0;
    std::string dim;
    std::string severity;
    std::int64_t demand = 0;
    std::int64_t supply = 0;
    Counted counted = Counted::number;  ///< unit of the amounts
    friend bool operator==(const ContentionRow&, const ContentionRow&) = default;
  };
  struct PoolRow {
    std::string name;
    std::int32_t size = 0;
    std::int32_t draining = 0;
    double utilisation = 0;
    friend bool operator==(const PoolRow&, const PoolRow&) = default;
  };
  Time at = 0;
  std::vector<Dim> dims;  ///< those with capacity
  std::vector<ResourceRow> resources;
  std::vector<ClassRow> classes;
  std::vector<OwnerRow> owners;
  std::vector<ContentionRow> contentions;
  std::vector<PoolRow> pools;
  std::map<std::string, std::uint64_t> reservations;  ///< live and ended, by state
  std::map<std::string, std::uint64_t> refusals;      ///< of create_reservation, by reason
  std::map<std::string, std::uint64_t> held_back;     ///< waiting requests, by reason
  std::uint64_t waiting = 0;
  double longest_wait_s = 0;  ///< of those that wait now
  bool audit_clean = true;
  friend bool operator==(const DashboardData&, const DashboardData&) = default;
};

/// What is known besides the manager; null or empty where there is none.
struct DashboardSources {
  const ResourceAllocator* allocator = nullptr;
  const MetricsCollector* metrics = nullptr;
  const ContentionDetector* contention = nullptr;
  std::vector<const ElasticPool*> pools{};
};

/// Cost: O(resources + owners + reservations); it runs the audit.
DashboardData dashboard_data(const ReservationManager& manager,
                             const DashboardSources& sources = {});

/// A table for a terminal.
std::string to_text(const DashboardData& data);
/// One JSON object, keys sorted as in the struct.
std::string to_json(const DashboardData& data);

}  // namespace reeve::alloc
