// Text form of ByteSize.
#include <reeve/base/byte_size.hpp>

#include <fmt/format.h>

namespace reeve {

std::string to_string(ByteSize size) {
  static constexpr const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(size.bytes());
  std::size_t unit = 0;
  while (value >= 1024.0 && unit + 1 < std::size(units)) {
    value /= 1024.0;
    ++unit;
  }
  const bool whole = unit == 0 || value == static_cast<double>(static_cast<std::uint64_t>(value));
  return fmt::format("{:.{}f} {}", value, whole ? 0 : 1, units[unit]);
}

}  // namespace reeve
