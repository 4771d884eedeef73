// The product itself beside the simulator: its ledger takes every start and end of a replay, and
// its allocator schedules a trace by itself.
#pragma once

#include <set>

#include "reeve/alloc/resource_allocator.hpp"
#include "tests/alloc/node_checker.hpp"

namespace reeve::alloc {

/// A ledger with the nodes of a machine as resources: processors in its first column, memory in its
/// second.
struct NodeLedger {
  explicit NodeLedger(const NodeMachine& machine) {
    for (const auto& node : plain_nodes(machine)) {
      names.push_back(machine.node_name(static_cast<std::int32_t>(names.size())));
      Amounts capacity = Amounts::of(0, node.processors);
      capacity[1] = std::min(node.memory, std::int64_t{1} << 40);
      (void)manager
          .register_resource({.name = names.back(), .capacity = capacity, .capabilities = node.has})
          .value();
    }
  }
  void advance_to(Time at) {
    if (at > now) clock.advance(std::chrono::nanoseconds(at - now));
    now = std::max(now, at);
  }

  ManualClock clock;
  ReservationManager manager{Dimensions::standard(), clock};
  std::vector<std::string> names;
  Time now = 0;
};

/// Books what `replay` did; returns what the ledger refused, or its audit found, every 50 verbs.
inline std::vector<std::string> ledger_faults(const CheckedReplay& r) {
  std::vector<std::string> faults;
  NodeLedger ledger(r.machine);
  std::vector<std::tuple<Time, bool, std::size_t>> events;
  for (std::size_t j = 0; j < r.jobs.size(); ++j) {
    if (r.replay.shares[j].empty()) continue;
    events.emplace_back(r.replay.replay.jobs[j].start, true, j);
    events.emplace_back(r.replay.replay.jobs[j].finish, false, j);
  }
  std::sort(events.begin(), events.end());
  std::map<std::size_t, ReservationId> live;
  std::size_t verbs = 0;
  for (const auto& [at, starts, j] : events) {
    ledger.advance_to(at);
    if (starts) {
      Request request;
      for (const auto& s : r.replay.shares[j]) {
        Demand demand{.amount = Amounts::of(0, s.processors)};
        demand.amount[1] = s.memory;
        if (r.requests[j].parts.size() == 1) demand.where = r.requests[j].parts[0].where;
        demand.where.push_back(needs("host", ledger.names[static_cast<std::size_t>(s.node)]));
        request.gang.push_back(std::move(demand));
      }
      const auto id = ledger.manager.create_reservation("job", request);
      if (!id) {
        faults.push_back("job " + std::to_string(r.jobs[j].id) + ": " + id.refusal().why());
      } else if (!ledger.manager.confirm_reservation(*id)) {
        faults.push_back("job " + std::to_string(r.jobs[j].id) + " was not confirmed");
      } else {
        live[j] = *id;
      }
    } else if (live.contains(j) && !ledger.manager.release_reservation(live[j])) {
      faults.push_back("job " + std::to_string(r.jobs[j].id) + " was not released");
    }
    if (++verbs % 50 != 0 && verbs != events.size()) continue;
    for (const auto& difference : ledger.manager.audit().differences) faults.push_back(difference);
  }
  for (const auto& account : ledger.manager.ledger().resources())
    if (account.free() != account.capacity) faults.push_back("something was not given back");
  return faults;
}

/// What a job asks for, in the words of the ledger. Preconditions: one part, not alone.
inline Request ledger_request(const NodeRequest& q, Time duration) {
  Demand demand{.amount = Amounts::of(0, q.parts[0].processors),
                .where = q.parts[0].where,
                .count = q.parts[0].count};
  demand.amount[1] = q.parts[0].memory;
  Request request{.gang = {demand}, .duration = duration};
  if (q.apart) request.spread = Spread::strict_spread;
  return request;
}

/// When the allocator starts each job, and on which nodes (ascending, once each).
struct AllocatorSchedule {
  std::vector<Time> start;
  std::vector<std::vector<std::int32_t>> nodes;
};

/// Lets a ResourceAllocator serve the trace: requests come and reservations are released when jobs
/// do; the rest is its own. Preconditions: every job fits the machine.
inline AllocatorSchedule allocator_schedule(const std::vector<Job>& jobs,
                                            const std::vector<NodeRequest>& requests,
                                            const NodeMachine& machine, AllocatorOptions options) {
  NodeLedger ledger(machine);
  ResourceAllocator allocator(ledger.manager, fifo() | first_fit(), options);
  AllocatorSchedule s{std::vector<Time>(jobs.size(), -1),
                      std::vector<std::vector<std::int32_t>>(jobs.size())};
  std::map<Ticket, std::size_t> job_of;
  std::multimap<Time, ReservationId> running;  // by end
  for (std::size_t next = 0; next < jobs.size() || !running.empty();) {
    Time now = next < jobs.size() ? jobs[next].submit : forever;
    if (!running.empty()) now = std::min(now, running.begin()->first);
    ledger.advance_to(now);
    for (; !running.empty() && running.begin()->first <= now; running.erase(running.begin()))
      (void)ledger.manager.release_reservation(running.begin()->second).value();
    for (; next < jobs.size() && jobs[next].submit <= now; ++next)
      job_of[allocator.submit("user", ledger_request(requests[next], jobs[next].estimate))
                 .value()] = next;
    for (const auto& grant : allocator.schedule().granted) {
      const auto j = job_of.at(grant.ticket);
      s.start[j] = now;
      std::set<std::int32_t> nodes;
      for (const auto& line : ledger.manager.find(grant.reservation)->lines)
        nodes.insert(static_cast<std::int32_t>(line.resource));
      s.nodes[j].assign(nodes.begin(), nodes.end());
      running.emplace(now + jobs[j].run, grant.reservation);
    }
  }
  return s;
}

}  // namespace reeve::alloc
