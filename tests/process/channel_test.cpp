// A channel grows without moving, never shrinks, and believes no figure.
#include "process/channel.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <limits>

#include "tests/support/pch.hpp"

namespace reeve::process {
namespace {

constexpr std::size_t window = 4u << 20;

WorkerSettings settings() {
  WorkerSettings result;
  result.channel_bytes = window;
  result.nice = 7;
  return result;
}

std::size_t size_of(int fd) {
  struct stat file{};
  EXPECT_EQ(fstat(fd, &file), 0);
  return static_cast<std::size_t>(file.st_size);
}

TEST(Channel, starts_small_with_a_clean_header_and_its_settings) {
  Channel channel(settings());
  EXPECT_EQ(channel.file_bytes(), 64u * 1024);
  EXPECT_EQ(size_of(channel.fd()), channel.file_bytes());
  EXPECT_EQ(channel.area().size(), window - channel_header_bytes);
  EXPECT_EQ(channel.header().request, 0u);
  EXPECT_EQ(channel.header().reply, 0u);
  EXPECT_EQ(channel.header().settings.nice, 7);
  EXPECT_EQ(fcntl(channel.fd(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

TEST(Channel, grows_by_doubling_in_place_and_keeps_what_it_has) {
  Channel channel(settings());
  const std::span<std::byte> first = channel.reserve(1000);
  std::memset(first.data(), 0x5a, 1000);
  std::size_t steps = 0;
  for (std::size_t bytes = 1000; bytes < window / 2; bytes += 50'000) {
    const std::size_t before = channel.file_bytes();
    const std::span<std::byte> area = channel.reserve(bytes);
    ASSERT_GE(area.size(), bytes);
    ASSERT_EQ(area.data(), first.data()) << "views into it would dangle";
    area[bytes - 1] = std::byte{1};
    steps += channel.file_bytes() != before;
  }
  EXPECT_LE(steps, 6u) << "it grows by doubling";
  EXPECT_EQ(first[500], std::byte{0x5a});
}

TEST(Channel, what_fits_the_window_exactly_is_taken_and_a_byte_more_is_not) {
  Channel channel(settings());
  EXPECT_EQ(channel.reserve(window - channel_header_bytes).size(), window - channel_header_bytes);
  EXPECT_THROW(channel.reserve(window - channel_header_bytes + 1), codec::EncodeError);
  EXPECT_THROW(channel.reserve(std::numeric_limits<std::size_t>::max()), codec::EncodeError);
  EXPECT_EQ(size_of(channel.fd()), window);
}

TEST(Channel, cannot_be_shrunk_by_either_side) {
  Channel channel(settings());
  EXPECT_EQ(ftruncate(channel.fd(), 4096), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(fcntl(channel.fd(), F_ADD_SEALS, F_SEAL_GROW), -1) << "nor can growing be forbidden";
}

RC_GTEST_PROP(ChannelProperty, only_what_is_backed_is_readable,
              (std::uint64_t offset, std::uint64_t size)) {
  static Channel channel(settings());
  const std::uint64_t backed = channel.file_bytes() - channel_header_bytes;
  offset =
      *rc::gen::elementOf(std::vector<std::uint64_t>{offset, offset % (2 * backed), backed, 0});
  size = *rc::gen::elementOf(
      std::vector<std::uint64_t>{size, size % (2 * backed), backed, ~std::uint64_t{0}});
  const bool inside = offset <= backed && size <= backed - offset;
  RC_ASSERT(channel.readable(offset, size) == inside);
}

TEST(Channel, sees_what_the_worker_has_grown) {
  Channel channel(settings());
  const std::uint64_t beyond = channel.file_bytes() - channel_header_bytes + 1;
  EXPECT_FALSE(channel.readable(0, beyond));
  ASSERT_EQ(ftruncate(channel.fd(), 1 << 20), 0);  // as a worker does for a large result
  EXPECT_TRUE(channel.readable(0, beyond));
  EXPECT_EQ(channel.file_bytes(), 1u << 20);
  EXPECT_EQ(channel.area()[(1u << 20) - channel_header_bytes - 1], std::byte{0});
  ASSERT_EQ(ftruncate(channel.fd(), 2 * window), 0);  // a liar grows it beyond the window
  EXPECT_FALSE(channel.readable(0, window));
  EXPECT_TRUE(channel.readable(0, window - channel_header_bytes));
}

// The worker replies behind the arguments, from a multiple of 64, and does not grow the file for an
// empty reply.
TEST(Channel, an_empty_reply_behind_the_arguments_is_readable) {
  Channel channel(settings());
  channel.reserve(200'008);
  EXPECT_EQ(size_of(channel.fd()), channel.file_bytes());
  EXPECT_TRUE(channel.readable(200'064, 0));
}

// Whatever the reply was that it grew the file for, this side has not looked at it.
TEST(Channel, grows_from_what_the_worker_has_made_of_it) {
  Channel channel(settings());
  ASSERT_EQ(ftruncate(channel.fd(), 2 << 20), 0);
  EXPECT_GE(channel.reserve(200'000).size(), 200'000u);
  EXPECT_EQ(channel.file_bytes(), 2u << 20);
  EXPECT_GE(channel.reserve(3 << 20).size(), 3u << 20);
  EXPECT_EQ(size_of(channel.fd()), window);
}

TEST(Channel, reserves_no_more_than_its_window_however_large_the_file_is) {
  for (const bool looked : {false, true}) {
    Channel channel(settings());
    ASSERT_EQ(ftruncate(channel.fd(), 2 * window), 0);  // a liar
    if (looked) {
      EXPECT_TRUE(channel.readable(0, window / 2));
    }
    EXPECT_EQ(channel.reserve(200'000).size(), window - channel_header_bytes);
    EXPECT_EQ(channel.file_bytes(), window);
    EXPECT_THROW(channel.reserve(window), codec::EncodeError);
  }
}

TEST(Channel, fits_windows_smaller_than_its_first_size) {
  WorkerSettings small = settings();
  small.channel_bytes = 16 * 1024;
  Channel channel(small);
  EXPECT_EQ(channel.file_bytes(), 16u * 1024);
  EXPECT_THROW(channel.reserve(16 * 1024), codec::EncodeError);
}

}  // namespace
}  // namespace reeve::process
