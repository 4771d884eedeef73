// The unit table and exact conversion.
#include "reeve/alloc/quantity.hpp"

#include <algorithm>

namespace reeve::alloc {

namespace {

__extension__ typedef __int128 Wide;

constexpr std::int64_t ki = 1024;
constexpr std::int64_t k = 1000;

constexpr Unit units[] = {
    {"cores", UnitFamily::cores, 1000, 1},
    {"core", UnitFamily::cores, 1000, 1},
    {"cpus", UnitFamily::cores, 1000, 1},
    {"millicores", UnitFamily::cores, 1, 1},
    {"m", UnitFamily::cores, 1, 1},
    {"microcores", UnitFamily::cores, 1, 1000},
    {"B", UnitFamily::bytes, 1, 1},
    {"bytes", UnitFamily::bytes, 1, 1},
    {"kB", UnitFamily::bytes, k, 1},
    {"MB", UnitFamily::bytes, k* k, 1},
    {"GB", UnitFamily::bytes, k* k* k, 1},
    {"TB", UnitFamily::bytes, k* k* k* k, 1},
    {"PB", UnitFamily::bytes, k* k* k* k* k, 1},
    {"KiB", UnitFamily::bytes, ki, 1},
    {"MiB", UnitFamily::bytes, ki* ki, 1},
    {"GiB", UnitFamily::bytes, ki* ki* ki, 1},
    {"TiB", UnitFamily::bytes, ki* ki* ki* ki, 1},
    {"PiB", UnitFamily::bytes, ki* ki* ki* ki* ki, 1},
    {"bit/s", UnitFamily::bandwidth, 1, 1},
    {"kbit/s", UnitFamily::bandwidth, k, 1},
    {"Mbit/s", UnitFamily::bandwidth, k* k, 1},
    {"Gbit/s", UnitFamily::bandwidth, k* k* k, 1},
    {"B/s", UnitFamily::bandwidth, 8, 1},
    {"MB/s", UnitFamily::bandwidth, 8 * k* k, 1},
    {"GB/s", UnitFamily::bandwidth, 8 * k* k* k, 1},
    {"gpus", UnitFamily::gpus, 1000, 1},
    {"gpu", UnitFamily::gpus, 1000, 1},
    {"milligpus", UnitFamily::gpus, 1, 1},
    {"items", UnitFamily::items, 1, 1},
    {"units", UnitFamily::items, 1, 1},
    {"dozens", UnitFamily::items, 12, 1},
};

const Unit* find_unit(std::string_view name) {
  const auto* at = std::find_if(std::begin(units), std::end(units),
                                [&](const Unit& u) { return u.name == name; });
  return at == std::end(units) ? nullptr : at;
}

Refusal no(Code code, std::string_view subject, std::string detail = {}) {
  return {.code = code, .subject = std::string(subject), .detail = std::move(detail)};
}

// The canonical unit.
const char* finest(ResourceType type) {
  switch (family_of(type)) {
    case UnitFamily::cores:
      return "millicores";
    case UnitFamily::bytes:
      return "bytes";
    case UnitFamily::bandwidth:
      return "bit/s";
    case UnitFamily::gpus:
      return "milligpus";
    case UnitFamily::items:
      break;
  }
  return "items";
}

// "gpus, gpu or milligpus"
std::string names_of(UnitFamily family) {
  std::string names;
  const Unit* last = nullptr;
  for (const auto& u : units) {
    if (u.family != family) continue;
    if (last) names.append(names.empty() ? "" : ", ").append(last->name);
    last = &u;
  }
  return names.append(" or ").append(last->name);
}

// "'4 GPUs'; amounts of gpu are in gpus, gpu or milligpus, such as '1.5 gpus'"
std::string how_to_write(std::string_view text, ResourceType type) {
  const auto family = family_of(type);
  const auto* usual = std::find_if(std::begin(units), std::end(units),
                                   [&](const Unit& u) { return u.family == family; });
  std::string words;
  if (!text.empty()) words.append(1, '\'').append(text).append("'; ");
  words.append("amounts of ").append(to_string(type)).append(" are in ").append(names_of(family));
  return words.append(", such as '2 ").append(usual->name).append("'");
}

// digits / 10^decimals of `unit`, exactly.
Result<std::int64_t> convert(std::int64_t digits, int decimals, std::string_view unit_name,
                             ResourceType type, std::string_view text) {
  const Unit* unit = find_unit(unit_name);
  if (!unit) return no(Code::unknown_unit, unit_name, how_to_write(text, type));
  if (unit->family != family_of(type))
    return no(Code::unit_mismatch, unit_name, how_to_write(text, type));
  Wide numerator = Wide{digits} * unit->numerator;
  Wide denominator = unit->denominator;
  for (int i = 0; i < decimals; ++i) denominator *= 10;
  if (numerator % denominator != 0) return no(Code::inexact_amount, text, finest(type));
  const Wide value = numerator / denominator;
  if (value > INT64_MAX) return no(Code::overflow, text);
  return static_cast<std::int64_t>(value);
}

}  // namespace

const char* to_string(ResourceType type) noexcept {
  switch (type) {
    case ResourceType::compute:
      return "compute";
    case ResourceType::memory:
      return "memory";
    case ResourceType::storage:
      return "storage";
    case ResourceType::network:
      return "network";
    case ResourceType::gpu:
      return "gpu";
    case ResourceType::specialized:
      return "specialized";
    case ResourceType::custom:
      return "custom";
  }
  return "unknown";
}

UnitFamily family_of(ResourceType type) noexcept {
  switch (type) {
    case ResourceType::compute:
      return UnitFamily::cores;
    case ResourceType::memory:
    case ResourceType::storage:
      return UnitFamily::bytes;
    case ResourceType::network:
      return UnitFamily::bandwidth;
    case ResourceType::gpu:
      return UnitFamily::gpus;
    default:
      return UnitFamily::items;
  }
}

Counted counted_in(ResourceType type) noexcept {
  switch (family_of(type)) {
    case UnitFamily::cores:
      return Counted::millicores;
    case UnitFamily::bytes:
      return Counted::bytes;
    case UnitFamily::bandwidth:
      return Counted::bits_per_second;
    case UnitFamily::gpus:
      return Counted::milligpus;
    case UnitFamily::items:
      break;
  }
  return Counted::items;
}

std::span<const Unit> unit_table() noexcept {
  return units;
}

Result<std::int64_t> to_canonical(Amount amount, ResourceType type) {
  const std::string text = std::to_string(amount.value) + " " + std::string(amount.unit);
  if (amount.value <= 0)
    return no(Code::invalid_amount, text, "is not greater than 0; " + how_to_write({}, type));
  return convert(amount.value, 0, amount.unit, type, text);
}

Result<std::int64_t> parse_amount(std::string_view text, ResourceType type) {
  std::int64_t digits = 0;
  int decimals = 0;
  bool any = false;
  bool point = false;
  std::size_t i = 0;
  for (; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '.' && !point) {
      point = true;
    } else if (c >= '0' && c <= '9') {
      any = true;
      if (__builtin_mul_overflow(digits, std::int64_t{10}, &digits) ||
          __builtin_add_overflow(digits, std::int64_t{c - '0'}, &digits) || decimals >= 15)
        return no(Code::overflow, text);
      if (point) ++decimals;
    } else {
      break;
    }
  }
  while (i < text.size() && text[i] == ' ') ++i;
  if (!any)
    return no(Code::invalid_amount, text,
              "does not begin with a positive decimal number; " + how_to_write({}, type));
  if (digits == 0)
    return no(Code::invalid_amount, text, "is not greater than 0; " + how_to_write({}, type));
  return convert(digits, decimals, text.substr(i), type, text);
}

bool Amounts::add_checked(const Amounts& other, std::int64_t times) noexcept {
  Amounts sum = *this;
  for (std::size_t d = 0; d < max_dims; ++d) {
    std::int64_t product = 0;
    if (__builtin_mul_overflow(other.values_[d], times, &product)) return false;
    if (__builtin_add_overflow(sum.values_[d], product, &sum.values_[d])) return false;
  }
  *this = sum;
  return true;
}

Dimensions Dimensions::standard() {
  Dimensions dims;
  for (int t = 0; t <= static_cast<int>(ResourceType::custom); ++t) {
    const auto type = static_cast<ResourceType>(t);
    dims.all_.push_back({to_string(type), type});
  }
  return dims;
}

Result<DimId> Dimensions::add(std::string name, ResourceType type) {
  if (find(name)) return no(Code::duplicate, name);
  if (name.empty()) return no(Code::invalid_request, "a dimension has no name; give it one");
  if (all_.size() == max_dims)
    return no(Code::overflow, name, "would be a ninth dimension; there are at most 8");
  all_.push_back({std::move(name), type});
  return static_cast<DimId>(all_.size() - 1);
}

Result<DimId> Dimensions::find(std::string_view name) const {
  for (std::size_t d = 0; d < all_.size(); ++d)
    if (all_[d].name == name) return static_cast<DimId>(d);
  return no(Code::unknown_dimension, name);
}

Result<DimId> Dimensions::find(ResourceType type) const {
  for (std::size_t d = 0; d < all_.size(); ++d)
    if (all_[d].type == type) return static_cast<DimId>(d);
  return no(Code::unknown_dimension, to_string(type));
}

}  // namespace reeve::alloc
