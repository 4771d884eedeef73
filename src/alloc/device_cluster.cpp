// Scores of nodes with devices.
#include "reeve/alloc/device_cluster.hpp"

#include <algorithm>

#include "alloc/fraction.hpp"

namespace reeve::alloc {

namespace {

constexpr std::int64_t never = INT64_MAX;

// round(1000 * ln(k / (100 - k))) for k = 51 ... 99: where a logistic scale reaches 51, 52, ...
constexpr std::int16_t logistic[] = {40,   80,   120,  160,  201,  241,  282,  323,  364,  405,
                                     447,  490,  532,  575,  619,  663,  708,  754,  800,  847,
                                     895,  944,  995,  1046, 1099, 1153, 1208, 1266, 1325, 1386,
                                     1450, 1516, 1586, 1658, 1735, 1815, 1901, 1992, 2091, 2197,
                                     2314, 2442, 2587, 2752, 2944, 3178, 3476, 3892, 4595};

// A change of fragmentation on that scale of 0 to 100, best lowest. Steps of about 40 thousandths
// of a device around 0 make nearly equal nodes equal, and the lower one wins: work stays together.
std::int64_t step_of(std::int64_t delta, std::int64_t weights) {
  const auto gain = -(delta >= 0 ? delta / weights : -((-delta) / weights));
  const auto size = gain < 0 ? -gain : gain;
  const auto passed = std::upper_bound(std::begin(logistic), std::end(logistic), size);
  const auto steps = static_cast<std::int64_t>(passed - std::begin(logistic));
  return gain < 0 ? steps : -steps;
}

}  // namespace

Result<std::uint32_t> DeviceCluster::add_node(const Amounts& capacity, std::int32_t devices,
                                              std::string model) {
  if (capacity.any_negative() || devices < 0 || devices > 64)
    return Refusal{.code = Code::invalid_amount,
                   .subject = "capacity of a node",
                   .asked = devices,
                   .detail = "is negative, or its " + std::to_string(devices) +
                             " devices are not 0 to 64; correct it"};
  auto at = std::find(models_.begin(), models_.end(), model);
  if (at == models_.end()) at = models_.insert(at, std::move(model));
  Node node;
  node.free = capacity;
  node.devices.assign(static_cast<std::size_t>(devices), static_cast<std::int32_t>(whole));
  node.free_sum = devices * static_cast<std::int32_t>(whole);
  node.model = static_cast<std::uint32_t>(at - models_.begin());
  total_ += node.free_sum;
  for (DimId d = 0; d < max_dims; ++d) largest_[d] = std::max(largest_[d], capacity[d]);
  largest_devices_ = std::max<std::int64_t>(largest_devices_, node.free_sum);
  nodes_.push_back(std::move(node));
  stamp_.push_back(0);
  return static_cast<std::uint32_t>(nodes_.size() - 1);
}

Result<std::uint32_t> DeviceCluster::add_shape(const DeviceDemand& demand, std::uint32_t weight) {
  if (demand.amount.any_negative() || demand.devices < 0 || demand.share <= 0 ||
      demand.share > whole || (demand.devices == 0 && demand.amount.is_zero()))
    return Refusal{.code = Code::invalid_amount,
                   .subject = "of a shape",
                   .asked = demand.share,
                   .detail = "is 0 or negative, or its share " + std::to_string(demand.share) +
                             " is not 1 to " + std::to_string(whole) + "; correct it"};
  if (demand.devices > 1 && demand.share != whole)
    return Refusal{.code = Code::invalid_request, .subject = "several devices are taken whole"};
  shapes_.push_back({});
  shapes_.back().demand = demand;
  shapes_.back().weight = weight;
  sum_ += weight;
  weights_ = std::max<std::int64_t>(1, sum_);
  return static_cast<std::uint32_t>(shapes_.size() - 1);
}

bool DeviceCluster::fits(const Node& node, const Shape& shape) const {
  if (!shape.model_ok.empty() && !shape.model_ok[node.model]) return false;
  const auto& d = shape.demand;
  if (!d.amount.fits(node.free)) return false;
  if (d.devices == 0) return true;
  if (node.free_sum < d.devices * d.share) return false;
  std::int32_t room = 0;
  for (auto free : node.devices) room += free >= d.share;
  return room >= d.devices;
}

std::int64_t DeviceCluster::fragmentation(const Amounts& free,
                                          std::span<const std::int32_t> devices,
                                          std::uint32_t model) const {
  std::int64_t sum = 0;
  for (auto f : devices) sum += f;
  if (sum == 0) return 0;
  std::int64_t lost = 0;
  for (const auto& shape : shapes_) {
    if (shape.weight == 0) continue;
    const auto& d = shape.demand;
    std::int64_t mine = sum;
    if (d.devices > 0 && (shape.model_ok.empty() || shape.model_ok[model]) && d.amount.fits(free)) {
      std::int64_t small = 0;
      std::int32_t room = 0;
      for (auto f : devices) {
        if (f >= d.share)
          ++room;
        else
          small += f;
      }
      if (room >= d.devices) mine = small;
    }
    lost += mine * shape.weight;
  }
  return lost;
}

// The devices that a rule without a look ahead takes, as bits.
std::uint64_t DeviceCluster::choose(const Node& node, const Shape& shape) const {
  std::uint64_t bits = 0;
  for (std::int32_t k = 0; k < shape.demand.devices; ++k) {
    std::size_t best = 64;
    for (std::size_t g = 0; g < node.devices.size(); ++g) {
      if (node.devices[g] < shape.demand.share || (bits >> g & 1)) continue;
      const bool better =
          best == 64 || (rule_ == DeviceRule::worst_fit && node.devices[g] > node.devices[best]) ||
          ((rule_ == DeviceRule::best_fit || rule_ == DeviceRule::fragmentation_aware) &&
           node.devices[g] < node.devices[best]);
      if (better) best = g;
    }
    bits |= std::uint64_t{1} << best;
  }
  return bits;
}

std::int64_t DeviceCluster::least_fragmenting(const Node& node, const Shape& shape,
                                              std::uint64_t* chosen) const {
  const auto& d = shape.demand;
  const Amounts free = node.free - d.amount;
  std::int32_t after[64];
  std::copy(node.devices.begin(), node.devices.end(), after);
  const std::span<const std::int32_t> view(after, node.devices.size());
  if (d.devices != 1 || d.share == whole) {
    const auto bits = choose(node, shape);
    for (std::size_t g = 0; g < node.devices.size(); ++g)
      if (bits >> g & 1) after[g] -= static_cast<std::int32_t>(d.share);
    if (chosen) *chosen = bits;
    return step_of(fragmentation(free, view, node.model) - node.fragmentation, weights_);
  }
  std::int64_t best = never;
  for (std::size_t g = 0; g < node.devices.size(); ++g) {
    if (node.devices[g] < d.share) continue;
    // Devices with equal free parts are alike: the lowest stands for them.
    const auto first = std::find(node.devices.begin(), node.devices.end(), node.devices[g]);
    if (first - node.devices.begin() != static_cast<std::ptrdiff_t>(g)) continue;
    after[g] -= static_cast<std::int32_t>(d.share);
    const auto delta =
        step_of(fragmentation(free, view, node.model) - node.fragmentation, weights_);
    after[g] = node.devices[g];
    if (delta < best) {
      best = delta;
      if (chosen) *chosen = std::uint64_t{1} << g;
    }
  }
  return best;
}

std::int64_t DeviceCluster::score(const Node& node, const Shape& shape,
                                  std::uint64_t* chosen) const {
  if (!fits(node, shape)) return never;
  if (rule_ == DeviceRule::fragmentation_aware) return least_fragmenting(node, shape, chosen);
  if (chosen) *chosen = choose(node, shape);
  if (rule_ == DeviceRule::first_fit) return 0;
  const auto& d = shape.demand;
  const auto left = detail::ppm(node.free[0] - d.amount[0], largest_[0]) +
                    detail::ppm(node.free_sum - d.devices * d.share, largest_devices_);
  return rule_ == DeviceRule::best_fit ? left : -left;
}

void DeviceCluster::catch_up(Shape& shape) {
  if (shape.scores.empty()) {
    shape.model_ok.clear();
    for (const auto& m : models_)
      if (!shape.demand.models.empty())
        shape.model_ok.push_back(std::find(shape.demand.models.begin(), shape.demand.models.end(),
                                           m) != shape.demand.models.end());
    shape.scores.resize(nodes_.size());
    for (std::size_t n = 0; n < nodes_.size(); ++n)
      shape.scores[n] = score(nodes_[n], shape, nullptr);
    shape.seen = log_.size();
    return;
  }
  ++stamp_now_;
  for (auto k = shape.seen; k < log_.size(); ++k) {
    const auto n = log_[k];
    if (stamp_[n] == stamp_now_) continue;
    stamp_[n] = stamp_now_;
    shape.scores[n] = score(nodes_[n], shape, nullptr);
  }
  shape.seen = log_.size();
}

void DeviceCluster::apply(std::uint32_t at, const Shape& shape,
                          std::span<const std::uint8_t> devices, int sign) {
  Node& node = nodes_[at];
  const auto part = static_cast<std::int32_t>(shape.demand.share) * sign;
  if (sign > 0) {
    node.free -= shape.demand.amount;
  } else {
    node.free += shape.demand.amount;
  }
  for (auto g : devices) node.devices[g] -= part;
  node.free_sum -= part * static_cast<std::int32_t>(devices.size());
  used_ += std::int64_t{part} * static_cast<std::int64_t>(devices.size());
  if (rule_ == DeviceRule::fragmentation_aware)
    node.fragmentation = fragmentation(node.free, node.devices, node.model);
  log_.push_back(at);
  if (log_.size() > 4 * nodes_.size() + 1024) {
    // Shapes that lag behind start anew; the others keep their place.
    const auto drop = log_.size() - nodes_.size();
    log_.erase(log_.begin(), log_.begin() + static_cast<std::ptrdiff_t>(drop));
    for (auto& s : shapes_) {
      if (s.seen < drop) s.scores.clear();
      s.seen = s.seen < drop ? 0 : s.seen - drop;
    }
  }
}

Result<DevicePlacement> DeviceCluster::place(std::uint32_t at) {
  Shape& shape = shapes_[at];
  if (rule_ == DeviceRule::fragmentation_aware && !measured_)
    for (auto& n : nodes_) n.fragmentation = fragmentation(n.free, n.devices, n.model);
  measured_ = true;
  catch_up(shape);
  const auto best = std::min_element(shape.scores.begin(), shape.scores.end());
  if (best == shape.scores.end() || *best == never) {
    const bool model = shape.model_ok.empty() ||
                       std::any_of(nodes_.begin(), nodes_.end(),
                                   [&](const Node& n) { return shape.model_ok[n.model] != 0; });
    if (!model) return Refusal{.code = Code::unmet_constraint, .subject = "model"};
    return Refusal{.code = Code::busy, .subject = "devices"};
  }
  DevicePlacement placement{at, static_cast<std::uint32_t>(best - shape.scores.begin()), {}};
  std::uint64_t bits = 0;
  (void)score(nodes_[placement.node], shape, &bits);
  for (std::uint8_t g = 0; g < 64; ++g)
    if (bits >> g & 1) placement.devices.push_back(g);
  apply(placement.node, shape, placement.devices, 1);
  return placement;
}

void DeviceCluster::release(const DevicePlacement& placement) {
  apply(placement.node, shapes_[placement.shape], placement.devices, -1);
}

void DeviceCluster::restore(const DevicePlacement& placement) {
  apply(placement.node, shapes_[placement.shape], placement.devices, 1);
}

double DeviceCluster::fragmented() const {
  double sum = 0;
  for (const auto& n : nodes_)
    sum += static_cast<double>(fragmentation(n.free, n.devices, n.model));
  return sum / static_cast<double>(weights_);
}

}  // namespace reeve::alloc
