// Places for requests: the lowest nodes that have room, exactly.
#include "alloc/node_fit.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace reeve::alloc::detail {

void take_shares(FreeNodes& nodes, std::span<const NodeShare> shares) {
  for (const auto& s : shares) {
    auto& node = nodes[static_cast<std::size_t>(s.node)];
    node.processors -= s.processors;
    node.memory -= s.memory;
  }
}

void give_shares(FreeNodes& nodes, std::span<const NodeShare> shares) {
  for (const auto& s : shares) {
    auto& node = nodes[static_cast<std::size_t>(s.node)];
    node.processors += s.processors;
    node.memory += s.memory;
  }
}

NodeFit::NodeFit(const NodeMachine& machine) {
  std::int32_t node = 0;
  for (const auto& g : machine.groups) {
    has_.push_back(g.properties);
    auto name = g.name;
    std::erase(name, '#');
    has_.back().emplace(std::move(name), true);
    for (std::int32_t i = 0; i < g.count; ++i) {
      group_of_.push_back(has_.size() - 1);
      names_.push_back(machine.node_name(node++));
      capacity_.push_back({g.memory, g.processors});
    }
  }
}

bool NodeFit::has(std::size_t node, std::size_t group, const Constraint& c) const {
  if (!has_[group].contains(c.key)) {
    if (c.key == "host") return satisfies({{"host", names_[node]}}, c);
    if (c.key == names_[node]) return satisfies({{names_[node], true}}, c);
  }
  return satisfies(has_[group], c);
}

std::size_t NodeFit::nodes_for(const std::vector<Constraint>& where) {
  const auto known = std::find(where_.begin(), where_.end(), where);
  if (known != where_.end()) return static_cast<std::size_t>(known - where_.begin());
  where_.push_back(where);
  auto& fit = fit_for_.emplace_back(capacity_.size(), char{1});
  for (std::size_t n = 0; n < fit.size(); ++n)
    for (const auto& c : where) fit[n] = fit[n] && has(n, group_of_[n], c);
  return where_.size() - 1;
}

NodeFit::Wanted NodeFit::look_up(const NodeRequest& request) {
  Wanted wanted{{}, request.apart, request.alone, request.processors()};
  for (const auto& p : request.parts)
    wanted.parts.push_back({p.count, p.processors, p.memory, nodes_for(p.where)});
  return wanted;
}

// How many pieces `node` can take.
std::int64_t NodeFit::room(const Part& part, bool alone, std::size_t node,
                           const FreeNode& free) const {
  if (free.processors < part.processors || free.memory < part.memory ||
      !fit_for_[part.fit_for][node] || (alone && free != capacity_[node]))
    return 0;
  const std::int64_t by_processors = free.processors / part.processors;
  return part.memory > 0 ? std::min(by_processors, free.memory / part.memory) : by_processors;
}

NodeShare NodeFit::share(const Part& part, bool alone, std::size_t node,
                         std::int64_t pieces) const {
  const auto& all = capacity_[node];
  NodeShare s{static_cast<std::int32_t>(node), all.processors, all.memory};
  if (!alone) {
    s.processors = static_cast<std::int32_t>(pieces * part.processors);
    s.memory = all.memory == uncounted ? 0 : pieces * part.memory;
  }
  if (all.memory == uncounted) s.memory = 0;
  return s;
}

bool NodeFit::place(const Wanted& wanted, std::span<const FreeNode> free,
                    std::vector<NodeShare>* shares) const {
  if (shares) shares->clear();
  if (!wanted.apart) return place_together(wanted, free, shares);
  return wanted.parts.size() == 1 ? place_alike(wanted, free, shares)
                                  : place_parts(wanted, free, shares);
}

bool NodeFit::place_together(const Wanted& wanted, std::span<const FreeNode> free,
                             std::vector<NodeShare>* shares) const {
  const auto& part = wanted.parts[0];
  std::int64_t left = part.count;
  for (std::size_t n = 0; n < free.size(); ++n) {
    const auto pieces = std::min(left, room(part, false, n, free[n]));
    if (pieces == 0) continue;
    if (shares) shares->push_back(share(part, false, n, pieces));
    left -= pieces;
    if (left == 0) return true;
  }
  return false;
}

bool NodeFit::place_alike(const Wanted& wanted, std::span<const FreeNode> free,
                          std::vector<NodeShare>* shares) const {
  const auto& part = wanted.parts[0];
  std::int64_t left = part.count;
  for (std::size_t n = 0; n < free.size(); ++n) {
    if (room(part, wanted.alone, n, free[n]) == 0) continue;
    if (shares) shares->push_back(share(part, wanted.alone, n, 1));
    if (--left == 0) return true;
  }
  return false;
}

std::size_t NodeFit::mask_of(const Wanted& wanted, std::size_t node, const FreeNode& free) const {
  std::size_t mask = 0;
  for (std::size_t p = 0; p < wanted.parts.size(); ++p)
    if (room(wanted.parts[p], wanted.alone, node, free) > 0) mask |= std::size_t{1} << p;
  return mask;
}

NodeFit::Masks NodeFit::count_masks(const Wanted& wanted, std::span<const FreeNode> free) const {
  Masks nodes{};
  for (std::size_t n = 0; n < free.size(); ++n) ++nodes[mask_of(wanted, n, free[n])];
  return nodes;
}

// How many pieces get no node, each node taken once: the most by which a set of parts wants more
// than there are nodes for any of them (Hall, Ore).
std::int64_t NodeFit::shortage(const Masks& nodes, const PerPart& wanted, std::size_t parts) {
  const auto sets = std::size_t{1} << parts;
  std::int64_t most = 0;
  for (std::size_t set = 1; set < sets; ++set) {
    std::int64_t short_of = 0;
    for (std::size_t p = 0; p < parts; ++p)
      if (set >> p & 1) short_of += wanted[p];
    for (std::size_t mask = 1; mask < sets; ++mask)
      if (mask & set) short_of -= nodes[mask];
    most = std::max(most, short_of);
  }
  return most;
}

// Unequal parts. A node goes to the first part that wants one, as long as the rest still has
// enough; so where there is a place, it is found, and low nodes are taken first.
bool NodeFit::place_parts(const Wanted& wanted, std::span<const FreeNode> free,
                          std::vector<NodeShare>* shares) const {
  const auto parts = wanted.parts.size();
  auto nodes = count_masks(wanted, free);
  PerPart left{};
  std::int64_t all = 0;
  for (std::size_t p = 0; p < parts; ++p) all += left[p] = wanted.parts[p].count;
  if (shortage(nodes, left, parts) > 0) return false;
  if (!shares) return true;
  for (std::size_t n = 0; all > 0; ++n) {
    const auto mask = mask_of(wanted, n, free[n]);
    --nodes[mask];
    for (std::size_t p = 0; p < parts; ++p) {
      if (left[p] == 0 || !(mask >> p & 1)) continue;
      --left[p];
      if (shortage(nodes, left, parts) == 0) {
        shares->push_back(share(wanted.parts[p], wanted.alone, n, 1));
        --all;
        break;
      }
      ++left[p];
    }
  }
  return true;
}

Result<void> NodeFit::explain_part(const NodePart& part, const NodeRequest& request) {
  // One condition more at a time: the first that leaves no node binds.
  std::vector<Constraint> where;
  for (const auto& c : part.where) {
    where.push_back(c);
    const auto& fit = fit_for_[nodes_for(where)];
    if (std::count(fit.begin(), fit.end(), char{1}) == 0)
      return Refusal{.code = Code::unmet_constraint, .subject = c.key};
  }
  const auto no = [](const char* what, std::int64_t asked, std::int64_t available) {
    return Refusal{
        .code = Code::infeasible, .subject = what, .asked = asked, .available = available};
  };
  const Part asked{part.count, part.processors, part.memory, nodes_for(part.where)};
  std::int64_t processors = 0;
  std::int64_t memory = 0;
  std::int64_t nodes = 0;
  std::int64_t pieces = 0;
  for (std::size_t n = 0; n < capacity_.size(); ++n) {
    if (!fit_for_[asked.fit_for][n]) continue;
    processors = std::max<std::int64_t>(processors, capacity_[n].processors);
    if (capacity_[n].processors >= part.processors) memory = std::max(memory, capacity_[n].memory);
    const auto here = room(asked, request.alone, n, capacity_[n]);
    nodes += here > 0;
    pieces += here;
  }
  if (processors < part.processors) return no("processors", part.processors, processors);
  if (memory < part.memory) return no("memory", part.memory, memory);
  if (request.apart && nodes < part.count) return no("nodes", part.count, nodes);
  if (!request.apart && pieces < part.count) return no("pieces", part.count, pieces);
  return {};
}

Result<void> NodeFit::explain(const NodeRequest& request) {
  const auto wanted = look_up(request);
  if (place(wanted, capacity_, nullptr)) return {};
  std::int64_t pieces = 0;
  PerPart counts{};
  for (std::size_t p = 0; p < request.parts.size(); ++p) {
    if (auto ok = explain_part(request.parts[p], request); !ok) return ok;
    pieces += counts[p] = request.parts[p].count;
  }
  // Each part by itself has a place: together they want more nodes than there are for them.
  const auto lost = shortage(count_masks(wanted, capacity_), counts, request.parts.size());
  return Refusal{
      .code = Code::infeasible, .subject = "pieces", .asked = pieces, .available = pieces - lost};
}

Result<void> check_request(const NodeRequest& request) {
  const auto no = [](const char* why) {
    return Refusal{.code = Code::invalid_request, .subject = why};
  };
  if (request.parts.empty()) return no("a job without a part");
  if (request.parts.size() > node_parts_max) return no("a job of more than four parts");
  if (!request.apart && request.parts.size() > 1) return no("pieces lie together in one part only");
  if (!request.apart && request.alone) return no("who is alone has pieces on nodes of their own");
  for (const auto& p : request.parts) {
    constexpr std::int32_t most = 1'000'000'000;
    if (p.count <= 0 || p.count > most || p.processors <= 0 || p.processors > most || p.memory < 0)
      return Refusal{
          .code = Code::invalid_amount,
          .subject = "of a part of a job",
          .detail = "must be 1 to 1000000000 pieces and processors, and no less than 0 B"};
    for (const auto& c : p.where)
      if (auto ok = validate(c); !ok) return ok;
  }
  return {};
}

}  // namespace reeve::alloc::detail

namespace reeve::alloc {

Result<void> can_run(const NodeRequest& request, const NodeMachine& machine) {
  if (auto ok = validate(machine); !ok) return ok;
  if (auto ok = detail::check_request(request); !ok) return ok;
  return detail::NodeFit(machine).explain(request);
}

}  // namespace reeve::alloc
