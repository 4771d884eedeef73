// /proc without stdio and without the heap: these reads run where memory may be at its limit.
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <reeve/os/proc.hpp>

namespace reeve::os {
namespace {

// root/part1/part2... in place; empty when it does not fit.
class Path {
 public:
  explicit Path(const char* root) noexcept { add(root); }
  Path& add(const char* text) noexcept {
    const std::size_t n = std::strlen(text);
    if (length_ + n >= sizeof text_) {
      text_[0] = '\0';
      length_ = sizeof text_;
    } else {
      std::memcpy(text_ + length_, text, n + 1);
      length_ += n;
    }
    return *this;
  }
  Path& add(long number) noexcept {
    char digits[24];
    char* at = digits + sizeof digits - 1;
    *at = '\0';
    do {
      *--at = static_cast<char>('0' + number % 10);
      number /= 10;
    } while (number > 0);
    return add(at);
  }
  const char* c_str() const noexcept { return text_; }

 private:
  char text_[512] = {};
  std::size_t length_ = 0;
};

UniqueFd open_read(const Path& path, int flags = 0) noexcept {
  return UniqueFd{::open(path.c_str(), O_RDONLY | O_CLOEXEC | flags)};
}

ssize_t pread_retry(int fd, void* data, std::size_t size, off_t offset) noexcept {
  ssize_t got = 0;
  do {
    got = ::pread(fd, data, size, offset);
  } while (got < 0 && errno == EINTR);
  return got;
}

std::uint64_t page_bytes() noexcept {
  static const auto size = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

// Takes the next decimal number from `text`; false at the end or at anything else.
bool take_number(std::span<const char>& text, std::uint64_t& value) noexcept {
  std::size_t i = 0;
  while (i < text.size() && (text[i] == ' ' || text[i] == '\t')) ++i;
  const std::size_t begin = i;
  value = 0;
  for (; i < text.size() && text[i] >= '0' && text[i] <= '9'; ++i) {
    value = value * 10 + static_cast<std::uint64_t>(text[i] - '0');
  }
  text = text.subspan(i);
  return i != begin;
}

// The records of getdents64, as the kernel writes them.
struct DirectoryEntry {
  std::uint64_t inode;
  std::int64_t offset;
  unsigned short length;
  unsigned char type;
  char name[1];
};

// Calls visit(number) for each entry of the directory whose name is a number; returns an errno
// value.
template <class Visit>
int for_each_number(int directory, Visit visit) noexcept {
  alignas(DirectoryEntry) char buffer[2048];
  for (;;) {
    const long got = ::syscall(SYS_getdents64, directory, buffer, sizeof buffer);
    if (got < 0) return errno;
    if (got == 0) return 0;
    for (long at = 0; at < got;) {
      unsigned short length = 0;
      std::memcpy(&length, buffer + at + offsetof(DirectoryEntry, length), sizeof length);
      const char* name = buffer + at + offsetof(DirectoryEntry, name);
      std::span<const char> text{name, std::strlen(name)};
      std::uint64_t number = 0;
      if (take_number(text, number) && text.empty()) visit(static_cast<pid_t>(number));
      at += length;
    }
  }
}

// Appends the pids in one children file; the file is read in pieces that may cut a number.
int append_children(int fd, std::span<pid_t> out, Children& children) noexcept {
  char buffer[1024];
  std::size_t kept = 0;
  off_t offset = 0;
  for (;;) {
    const ssize_t got = pread_retry(fd, buffer + kept, sizeof buffer - kept, offset);
    if (got < 0) return errno;
    offset += got;
    std::size_t size = kept + static_cast<std::size_t>(got);
    std::size_t whole = size;
    while (got != 0 && whole > 0 && buffer[whole - 1] != ' ' && buffer[whole - 1] != '\n') --whole;
    std::span<const char> text{buffer, whole};
    std::uint64_t pid = 0;
    while (take_number(text, pid)) {
      if (children.count < out.size()) {
        out[children.count++] = static_cast<pid_t>(pid);
      } else {
        children.complete = false;
      }
    }
    if (got == 0) return 0;
    kept = size - whole;
    std::memmove(buffer, buffer + whole, kept);
  }
}

long long read_status_field(const Path& path, const char* key) noexcept {
  const UniqueFd fd = open_read(path);
  if (!fd) return -1;
  char buffer[4096];
  const ssize_t got = pread_retry(fd.get(), buffer, sizeof buffer, 0);
  return got <= 0 ? -1 : status_field({buffer, static_cast<std::size_t>(got)}, key);
}

}  // namespace

Statm parse_statm(std::span<const char> text) noexcept {
  std::uint64_t pages[6] = {};
  Statm result;
  for (std::uint64_t& value : pages) {
    if (!take_number(text, value)) {
      result.error = EPROTO;
      return result;
    }
  }
  const std::uint64_t page = page_bytes();
  result.state = pages[0] == 0 && pages[1] == 0 ? ProcState::zombie : ProcState::alive;
  result.size_bytes = pages[0] * page;
  result.resident_bytes = pages[1] * page;
  result.shared_bytes = pages[2] * page;
  result.data_bytes = pages[5] * page;
  return result;
}

StatmReader::StatmReader(pid_t pid, const Roots& roots) noexcept
    : fd_(open_read(Path(roots.proc).add("/").add(pid).add("/statm"))) {
  if (!fd_) error_ = errno;
}

Statm StatmReader::read() const noexcept {
  char buffer[256];
  const ssize_t got = fd_ ? pread_retry(fd_.get(), buffer, sizeof buffer, 0) : -1;
  if (got < 0) {
    Statm result;
    result.error = fd_ ? errno : (error_ != 0 ? error_ : EBADF);
    const bool gone = result.error == ESRCH || (!fd_ && result.error == ENOENT);
    result.state = gone ? ProcState::gone : ProcState::error;
    return result;
  }
  return parse_statm({buffer, static_cast<std::size_t>(got)});
}

Children read_children(pid_t pid, std::span<pid_t> out, const Roots& roots) noexcept {
  Children children;
  const Path tasks = Path(roots.proc).add("/").add(pid).add("/task");
  const UniqueFd directory = open_read(tasks, O_DIRECTORY);
  if (!directory) {
    children.error = errno;
    return children;
  }
  int read_error = 0;
  bool read_any = false;
  const int error = for_each_number(directory.get(), [&](pid_t thread) {
    const UniqueFd fd = open_read(Path(tasks).add("/").add(thread).add("/children"));
    const int one = fd ? append_children(fd.get(), out, children) : errno;
    if (one == 0) read_any = true;
    if (one != 0 && one != ESRCH) read_error = one;  // a thread that ended meanwhile is no error
  });
  children.error = error;
  if (error == 0 && !read_any) children.error = read_error != 0 ? read_error : ESRCH;
  return children;
}

Children read_descendants(pid_t pid, std::span<pid_t> out, const Roots& roots) noexcept {
  Children all = read_children(pid, out, roots);
  if (all.error != 0) return all;
  for (std::size_t next = 0; next < all.count; ++next) {
    const Children below = read_children(out[next], out.subspan(all.count), roots);
    all.count += below.count;
    all.complete = all.complete && below.complete;
  }
  return all;
}

CpuClock::CpuClock(pid_t pid) noexcept : error_(::clock_getcpuclockid(pid, &clock_)) {}

CpuClock::Reading CpuClock::read() const noexcept {
  Reading result;
  timespec used{};
  if (error_ != 0) {
    result.error = error_;
  } else if (::clock_gettime(clock_, &used) != 0) {
    result.error = errno;
  } else {
    result.used = std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
  }
  return result;
}

long long status_field(std::span<const char> text, const char* key) noexcept {
  const std::size_t n = std::strlen(key);
  std::size_t at = 0;
  while (at < text.size()) {
    std::size_t end = at;
    while (end < text.size() && text[end] != '\n') ++end;
    if (end - at > n && text[at + n] == ':' && std::memcmp(text.data() + at, key, n) == 0) {
      std::span<const char> rest = text.subspan(at + n + 1, end - at - n - 1);
      std::uint64_t value = 0;
      return take_number(rest, value) ? static_cast<long long>(value) : -1;
    }
    at = end + 1;
  }
  return -1;
}

std::uint64_t vm_data_self(const Roots& roots) noexcept {
  const long long kib = read_status_field(Path(roots.proc).add("/self/status"), "VmData");
  return kib < 0 ? 0 : static_cast<std::uint64_t>(kib) * 1024;
}

std::uint64_t vm_data(pid_t pid, const Roots& roots) noexcept {
  const long long kib =
      read_status_field(Path(roots.proc).add("/").add(pid).add("/status"), "VmData");
  return kib < 0 ? 0 : static_cast<std::uint64_t>(kib) * 1024;
}

std::size_t thread_count_self(const Roots& roots) noexcept {
  const long long count = read_status_field(Path(roots.proc).add("/self/status"), "Threads");
  return count < 0 ? 0 : static_cast<std::size_t>(count);
}

}  // namespace reeve::os
