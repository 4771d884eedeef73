// Reads /proc/self/status and /proc/self/stat by hand.
#include <reeve/os/proc.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>

namespace reeve::os {
namespace {

// The number behind `label` in /proc/self/status.
std::uint64_t status_figure(const char* label) noexcept {
  char text[4096];
  const int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  std::size_t size = 0;
  ssize_t got;
  while (size + 1 < sizeof text && (got = read(fd, text + size, sizeof text - 1 - size)) > 0) {
    size += static_cast<std::size_t>(got);
  }
  close(fd);
  text[size] = '\0';
  const char* at = std::strstr(text, label);
  if (at == nullptr) return 0;
  at += std::strlen(label);
  while (*at == ' ' || *at == '\t') ++at;
  std::uint64_t value = 0;
  for (; *at >= '0' && *at <= '9'; ++at) value = value * 10 + static_cast<std::uint64_t>(*at - '0');
  return value;
}

}  // namespace

std::uint64_t vm_data() noexcept {
  return status_figure("VmData:") * 1024;
}

unsigned thread_count() noexcept {
  const std::uint64_t threads = status_figure("Threads:");
  return threads == 0 ? 1 : static_cast<unsigned>(threads);
}

}  // namespace reeve::os
