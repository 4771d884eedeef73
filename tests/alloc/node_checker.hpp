// Looks for breaks in a replay on nodes, by sweeping over what was given: it shares nothing with
// the simulator but the data types.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "reeve/alloc/node_simulator.hpp"

namespace reeve::alloc {

/// One node, written out.
struct PlainNode {
  std::int64_t processors = 0;
  std::int64_t memory = 0;
  Capabilities has;
};

inline std::vector<PlainNode> plain_nodes(const NodeMachine& machine) {
  std::vector<PlainNode> nodes;
  for (const auto& g : machine.groups)
    for (int i = 0; i < g.count; ++i) {
      PlainNode node{g.processors, g.memory, g.properties};
      const auto name = machine.node_name(static_cast<std::int32_t>(nodes.size()));
      std::string group;
      for (char c : g.name)
        if (c != '#') group += c;
      node.has.emplace(group, true);
      node.has.emplace(name, true);
      node.has.emplace("host", name);
      nodes.push_back(std::move(node));
    }
  return nodes;
}

/// A trace, where it runs, and what became of it.
struct CheckedReplay {
  const std::vector<Job>& jobs;
  const std::vector<NodeRequest>& requests;
  const NodeMachine& machine;
  const SimulatorOptions& options;
  const NodeReplay& replay;
};

class NodeChecker {
 public:
  explicit NodeChecker(const CheckedReplay& r) : r_(r), nodes_(plain_nodes(r.machine)) {}

  /// Everything that is wrong; empty: nothing is. `conserving` looks at each that waits at each
  /// instant.
  std::vector<std::string> breaks(bool conserving = true) {
    check_jobs();
    if (faults_.empty()) sweep(conserving);
    return faults_;
  }

  /// Whether all pieces have a place on `free`, each found on its own (augmenting paths).
  bool fits(const NodeRequest& q, const std::vector<PlainNode>& free) const {
    if (!q.apart) {
      std::int64_t pieces = 0;
      for (std::size_t n = 0; n < free.size(); ++n)
        for (auto left = free[n]; can_take(q.parts[0], left) && pieces < q.parts[0].count;
             ++pieces) {
          left.processors -= q.parts[0].processors;
          if (left.memory != uncounted) left.memory -= q.parts[0].memory;
        }
      return pieces >= q.parts[0].count;
    }
    return pieces_matched(q, free.size(), [&](const NodePart& part, std::size_t n) {
      const bool idle =
          free[n].processors == nodes_[n].processors && free[n].memory == nodes_[n].memory;
      return can_take(part, free[n]) && (!q.alone || idle);
    });
  }

  const std::vector<PlainNode>& nodes() const { return nodes_; }

 private:
  bool identified() const { return r_.options.placement == Placement::identified; }
  bool ran(std::size_t j) const { return !r_.replay.shares[j].empty(); }
  const Outcome& out(std::size_t j) const { return r_.replay.replay.jobs[j]; }
  void fault(std::size_t j, const std::string& what) {
    faults_.push_back("job " + std::to_string(r_.jobs[j].id) + ": " + what);
  }

  static bool can_take(const NodePart& part, const PlainNode& node) {
    for (const auto& c : part.where)
      if (!satisfies(node.has, c)) return false;
    return part.processors <= node.processors && part.memory <= node.memory;
  }

  // Kuhn's algorithm: each piece to a place of its own.
  static bool pieces_matched(const NodeRequest& q, std::size_t places,
                             const std::function<bool(const NodePart&, std::size_t)>& allowed) {
    std::vector<const NodePart*> pieces;
    for (const auto& p : q.parts)
      for (int k = 0; k < p.count; ++k) {
        if (pieces.size() == places) return false;
        pieces.push_back(&p);
      }
    std::vector<int> taken(places, -1);
    std::vector<char> seen;
    const std::function<bool(int)> assign = [&](int piece) {
      for (std::size_t n = 0; n < places; ++n) {
        if (seen[n] || !allowed(*pieces[static_cast<std::size_t>(piece)], n)) continue;
        seen[n] = 1;
        if (taken[n] >= 0 && !assign(taken[n])) continue;
        taken[n] = piece;
        return true;
      }
      return false;
    };
    for (int piece = 0; piece < static_cast<int>(pieces.size()); ++piece) {
      seen.assign(places, 0);
      if (!assign(piece)) return false;
    }
    return true;
  }

  bool shape_respected(std::size_t j) const {
    const auto& q = r_.requests[j];
    const auto& shares = r_.replay.shares[j];
    const auto memory_of = [&](std::int64_t memory, std::size_t k) {
      return nodes_[static_cast<std::size_t>(shares[k].node)].memory == uncounted ? 0 : memory;
    };
    if (!q.apart) {
      std::int64_t pieces = 0;
      for (std::size_t k = 0; k < shares.size(); ++k) {
        const std::int64_t here = shares[k].processors / q.parts[0].processors;
        if (here == 0 || here * q.parts[0].processors != shares[k].processors ||
            shares[k].memory != memory_of(here * q.parts[0].memory, k) ||
            !can_take(q.parts[0], nodes_[static_cast<std::size_t>(shares[k].node)]))
          return false;
        pieces += here;
      }
      return pieces == q.parts[0].count;
    }
    std::int64_t pieces = 0;
    for (const auto& p : q.parts) pieces += p.count;
    if (pieces != static_cast<std::int64_t>(shares.size())) return false;
    return pieces_matched(q, shares.size(), [&](const NodePart& part, std::size_t k) {
      const auto& node = nodes_[static_cast<std::size_t>(shares[k].node)];
      if (!can_take(part, node)) return false;
      const auto processors = q.alone ? node.processors : part.processors;
      const auto memory = memory_of(q.alone ? node.memory : part.memory, k);
      return shares[k].processors == processors && shares[k].memory == memory;
    });
  }

  void check_jobs() {
    std::map<std::size_t, Refusal> refused(r_.replay.refused.begin(), r_.replay.refused.end());
    for (std::size_t j = 0; j < r_.jobs.size(); ++j) {
      const auto& job = r_.jobs[j];
      const bool possible = fits(r_.requests[j], nodes_);
      if (possible == refused.contains(j)) fault(j, "refused and possible, or neither");
      if (possible != ran(j)) fault(j, "ran and impossible, or neither");
      if (refused.contains(j)) check_reason(j, refused[j]);
      if (!ran(j)) {
        if (out(j).start != -1 || out(j).finish != -1) fault(j, "has times and no nodes");
        continue;
      }
      const auto length = identified() ? std::min(job.run, job.estimate) : job.run;
      if (out(j).start < job.submit) fault(j, "starts before it was there");
      if (out(j).finish != out(j).start + length) fault(j, "does not end when it should");
      if (!shape_respected(j)) fault(j, "its shape is another");
      std::vector<std::int32_t> machines;
      for (const auto& s : r_.replay.shares[j]) machines.push_back(s.node);
      if (machines != out(j).machines) fault(j, "its nodes differ");
      for (std::size_t k = 1; k < machines.size(); ++k)
        if (machines[k] <= machines[k - 1]) fault(j, "a node twice, or out of order");
    }
  }

  // What is said to bind does.
  void check_reason(std::size_t j, const Refusal& why) {
    const auto& q = r_.requests[j];
    bool true_of_a_part = false;
    std::int64_t all = 0;
    for (const auto& part : q.parts) {
      std::int64_t with = 0;  // nodes that have the properties
      std::int64_t processors = 0;
      std::int64_t memory = 0;
      std::int64_t taking = 0;
      NodePart none = part;
      none.processors = 0;
      none.memory = 0;
      for (const auto& node : nodes_) {
        if (!can_take(none, node)) continue;
        ++with;
        processors = std::max(processors, node.processors);
        if (node.processors >= part.processors) memory = std::max(memory, node.memory);
        taking += can_take(part, node);
      }
      const auto is = [&](const char* subject, std::int64_t asked, std::int64_t there) {
        return why.code == Code::infeasible && why.subject == subject && why.asked == asked &&
               why.available == there && there < asked;
      };
      all += part.count;
      true_of_a_part |= why.code == Code::unmet_constraint && with == 0;
      true_of_a_part |= is("processors", part.processors, processors);
      true_of_a_part |= is("memory", part.memory, memory);
      true_of_a_part |= q.apart && is("nodes", part.count, taking);
    }
    if (why.code == Code::infeasible && why.subject == "pieces" && why.asked == all &&
        why.available < all) {
      // As many as are available fit; which they are is not said, so try all ways to leave some
      // out.
      true_of_a_part = most_pieces(q) == why.available;
    }
    if (!true_of_a_part) fault(j, "the reason is not the case: " + why.why());
  }

  std::int64_t most_pieces(const NodeRequest& q) const {
    std::int64_t most = 0;
    for (const auto& p : q.parts) most += p.count;
    std::int64_t best = 0;
    std::vector<std::int32_t> counts(q.parts.size(), 0);
    while (true) {  // every combination of counts
      NodeRequest some = q;
      some.parts.clear();
      std::int64_t pieces = 0;
      for (std::size_t p = 0; p < counts.size(); ++p) {
        if (counts[p] == 0) continue;
        some.parts.push_back(q.parts[p]);
        some.parts.back().count = counts[p];
        pieces += counts[p];
      }
      if (pieces > best && fits(some, nodes_)) best = pieces;
      std::size_t p = 0;
      while (p < counts.size() && counts[p] == q.parts[p].count) counts[p++] = 0;
      if (p == counts.size()) return std::min(best, most);
      ++counts[p];
    }
  }

  void apply(std::vector<PlainNode>& free, std::size_t j, int sign) {
    for (const auto& s : r_.replay.shares[j]) {
      auto& node = free[static_cast<std::size_t>(s.node)];
      node.processors += sign * s.processors;
      if (node.memory != uncounted) node.memory += sign * s.memory;
      if (node.processors < 0) fault(j, "a node has too few processors");
      if (node.memory < 0) fault(j, "a node has too little memory");
    }
  }

  void sweep(bool conserving) {
    std::vector<std::tuple<Time, int, std::size_t>> events;  // 0: ends, 1: comes, 2: starts
    for (std::size_t j = 0; j < r_.jobs.size(); ++j) {
      if (!ran(j)) continue;
      events.emplace_back(out(j).finish, 0, j);
      events.emplace_back(r_.jobs[j].submit, 1, j);
      events.emplace_back(out(j).start, 2, j);
    }
    std::sort(events.begin(), events.end());
    auto free = nodes_;
    std::vector<std::size_t> waiting;
    for (std::size_t e = 0; e < events.size(); ++e) {
      const auto& [at, kind, j] = events[e];
      if (kind == 0) apply(free, j, 1);
      if (kind == 1) waiting.push_back(j);
      if (kind == 2) {
        apply(free, j, -1);
        std::erase(waiting, j);
      }
      const bool instant_over = e + 1 == events.size() || std::get<0>(events[e + 1]) != at;
      if (instant_over && !waiting.empty()) conserve(at, waiting, free, conserving);
    }
    if (!waiting.empty()) fault(waiting[0], "waits for ever");
  }

  bool first(std::size_t a, std::size_t b) const {
    const auto& x = r_.jobs[a];
    const auto& y = r_.jobs[b];
    if (r_.options.order == Order::sjf && x.estimate != y.estimate) return x.estimate < y.estimate;
    return std::tuple(x.submit, x.id, a) < std::tuple(y.submit, y.id, b);
  }

  // Nobody waits without a reason. The first in order has none if it fits, unless reservations of
  // others stay. Neither has one who would be gone before those begin whose reservations count.
  void conserve(Time at, const std::vector<std::size_t>& waiting,
                const std::vector<PlainNode>& free, bool all) {
    if (r_.options.order == Order::f1) return;
    const bool easy = r_.options.backfill == Backfill::easy;
    const bool stays =
        r_.options.backfill == Backfill::conservative && r_.options.replan == Replan::compress;
    const auto head = *std::min_element(waiting.begin(), waiting.end(),
                                        [&](auto a, auto b) { return first(a, b); });
    if (!stays && fits(r_.requests[head], free)) fault(head, "waits, is first, and fits");
    if (!all || !(easy || stays) || r_.options.order != Order::fcfs) return;
    for (auto j : waiting) {
      Time begins = easy ? out(head).start : forever;
      for (auto other : waiting)
        if (stays && other != j) begins = std::min(begins, out(other).start);
      if (easy && j == head) continue;
      if (at + r_.jobs[j].estimate <= begins && fits(r_.requests[j], free))
        fault(j, "waits, fits, and is in nobody's way");
    }
  }

  const CheckedReplay& r_;
  std::vector<PlainNode> nodes_;
  std::vector<std::string> faults_;
};

inline std::vector<std::string> node_breaks(const CheckedReplay& r, bool conserving = true) {
  return NodeChecker(r).breaks(conserving);
}

}  // namespace reeve::alloc
