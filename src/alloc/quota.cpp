// Borrowing and lending on a tree of quotas.
#include "reeve/alloc/quota.hpp"

#include <algorithm>

namespace reeve::alloc {

namespace {

constexpr auto unlimited = Limits::unlimited;

std::int64_t saturating_add(std::int64_t a, std::int64_t b) {
  if (a == unlimited || b == unlimited) return unlimited;
  std::int64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? (b > 0 ? unlimited : INT64_MIN) : sum;
}

bool known(const Dimensions* dims, DimId d) {
  return dims && d < dims->size();
}

Result<void> check_limits(const std::string& name, const Limits& nominal, const Limits& borrow,
                          const Limits& lend, const Dimensions* dims) {
  const std::pair<const char*, const Limits*> all[] = {
      {"nominal", &nominal}, {"borrow", &borrow}, {"lend", &lend}};
  for (const auto& [what, limits] : all)
    for (DimId d = 0; d < max_dims; ++d) {
      const auto value = (*limits)[d];
      if (value >= 0) continue;
      const auto counted = known(dims, d) ? counted_in((*dims)[d].type) : Counted::number;
      return Refusal{
          .code = Code::invalid_amount,
          .subject = name,
          .asked = value,
          .counted = counted,
          .detail = std::string("has a ") + what + " of " + to_text(value, counted) + " in " +
                    (known(dims, d) ? "'" + (*dims)[d].name + "'" : "dimension " + numbered(d)) +
                    "; give 0 or more, or leave it unlimited"};
    }
  return {};
}

}  // namespace

Refusal QuotaTree::unknown(QuotaId node) const {
  return {.code = Code::unknown_quota,
          .subject = numbered(index(node)),
          .available = static_cast<std::int64_t>(nodes_.size())};
}

Result<QuotaId> QuotaTree::add(QuotaSpec spec, const Dimensions* dims) {
  if (spec.name.empty())
    return Refusal{.code = Code::invalid_request,
                   .subject = "a quota node has no name; set QuotaSpec::name"};
  if (find(spec.name)) return Refusal{.code = Code::duplicate, .subject = spec.name};
  if (spec.parent != QuotaId::none && !contains(spec.parent)) return unknown(spec.parent);
  if (auto ok = check_limits(spec.name, spec.nominal, spec.borrow, spec.lend, dims); !ok)
    return ok.refusal();
  nodes_.push_back({std::move(spec), {}, {}, {}});
  rebuild();
  return static_cast<QuotaId>(nodes_.size() - 1);
}

Result<void> QuotaTree::move(QuotaId node, QuotaId parent) {
  if (!contains(node)) return unknown(node);
  if (parent != QuotaId::none && !contains(parent)) return unknown(parent);
  for (QuotaId up = parent; up != QuotaId::none; up = spec(up).parent)
    if (up == node) return Refusal{.code = Code::cyclic_quota, .subject = spec(node).name};
  nodes_[index(node)].spec.parent = parent;
  rebuild();
  return {};
}

Result<void> QuotaTree::set_limits(QuotaId node, const Limits& nominal, const Limits& borrow,
                                   const Limits& lend) {
  if (!contains(node)) return unknown(node);
  auto& s = nodes_[index(node)].spec;
  if (auto ok = check_limits(s.name, nominal, borrow, lend, nullptr); !ok) return ok;
  s.nominal = nominal;
  s.borrow = borrow;
  s.lend = lend;
  rebuild();
  return {};
}

Result<QuotaId> QuotaTree::find(std::string_view name) const {
  for (std::size_t i = 0; i < nodes_.size(); ++i)
    if (nodes_[i].spec.name == name) return static_cast<QuotaId>(i);
  return Refusal{.code = Code::unknown_quota, .subject = std::string(name)};
}

std::int64_t QuotaTree::floor_of(const Node& node, DimId dim) const {
  const auto lend = node.spec.lend[dim];
  if (node.subtree[dim] == unlimited || lend == unlimited) return 0;
  return std::max<std::int64_t>(0, node.subtree[dim] - lend);
}

void QuotaTree::rebuild() {
  // Children before parents: by depth, deepest first. Structure changes are rare.
  std::vector<std::pair<int, std::size_t>> order;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    int depth = 0;
    for (auto up = nodes_[i].spec.parent; up != QuotaId::none; up = spec(up).parent) ++depth;
    order.push_back({-depth, i});
    nodes_[i].subtree = nodes_[i].spec.nominal;
    nodes_[i].usage = nodes_[i].own;
  }
  std::sort(order.begin(), order.end());
  for (auto [depth, i] : order) {
    Node& node = nodes_[i];
    if (node.spec.parent == QuotaId::none) continue;
    Node& parent = nodes_[index(node.spec.parent)];
    for (DimId d = 0; d < max_dims; ++d) {
      const auto kept = floor_of(node, d);
      if (node.subtree[d] != unlimited)
        parent.subtree[d] = saturating_add(parent.subtree[d], node.subtree[d] - kept);
      parent.usage[d] += std::max<std::int64_t>(0, node.usage[d] - kept);
    }
  }
}

std::int64_t QuotaTree::available(QuotaId id, DimId dim) const {
  const Node& node = nodes_[index(id)];
  const auto quota = node.subtree[dim];
  if (quota == unlimited) return unlimited;
  if (node.spec.parent == QuotaId::none) return quota - node.usage[dim];
  const auto kept = floor_of(node, dim);
  const auto local = std::max<std::int64_t>(0, kept - node.usage[dim]);
  const auto above = std::max<std::int64_t>(0, node.usage[dim] - kept);
  auto from_parent = available(node.spec.parent, dim);
  const auto borrow = node.spec.borrow[dim];
  if (borrow != unlimited)
    from_parent = std::min(from_parent, saturating_add(quota - kept - above, borrow));
  return saturating_add(local, from_parent);
}

std::int64_t QuotaTree::borrowed(QuotaId id, DimId dim) const {
  const Node& node = nodes_[index(id)];
  if (node.subtree[dim] == unlimited) return 0;
  return std::max<std::int64_t>(0, node.usage[dim] - node.subtree[dim]);
}

Result<void> QuotaTree::check(QuotaId node, const Amounts& amounts, const Dimensions* dims) const {
  if (!contains(node)) return unknown(node);
  for (DimId d = 0; d < max_dims; ++d) {
    if (amounts[d] == 0) continue;
    const auto left = available(node, d);
    if (amounts[d] > left)
      return Refusal{.code = Code::quota_exceeded,
                     .subject = spec(node).name,
                     .asked = amounts[d],
                     .available = left,
                     .counted = known(dims, d) ? counted_in((*dims)[d].type) : Counted::number,
                     .detail = known(dims, d) ? (*dims)[d].name : std::string()};
  }
  return {};
}

void QuotaTree::charge(QuotaId id, const Amounts& delta) {
  nodes_[index(id)].own += delta;
  Amounts step = delta;
  for (auto at = id; at != QuotaId::none && !step.is_zero(); at = spec(at).parent) {
    Node& node = nodes_[index(at)];
    for (DimId d = 0; d < max_dims; ++d) {
      const auto kept = floor_of(node, d);
      const auto before = std::max<std::int64_t>(0, node.usage[d] - kept);
      node.usage[d] += step[d];
      step[d] = std::max<std::int64_t>(0, node.usage[d] - kept) - before;
    }
  }
}

}  // namespace reeve::alloc
