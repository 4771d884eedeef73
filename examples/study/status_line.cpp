// Carriage return and "erase to the end of the line" are all the terminal control it needs.
#include "status_line.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <ostream>

namespace study {

std::optional<int> terminal_width(int fd) {
  if (::isatty(fd) == 0) return std::nullopt;
  winsize size{};
  const bool known = ::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : 80;
}

StatusLine::StatusLine(std::ostream& out, Width width, const reeve::Clock& clock)
    : out_(out), width_(std::move(width)), clock_(clock) {}

StatusLine::~StatusLine() {
  clear();
}

void StatusLine::show(const std::string& text) {
  using namespace std::chrono_literals;
  const auto width = width_();
  const auto pause = width ? reeve::Clock::duration(100ms) : reeve::Clock::duration(2s);
  const auto now = clock_.now();
  if (shown_at_ && now - *shown_at_ < pause) return;
  shown_at_ = now;
  if (!width) {
    out_ << text << '\n' << std::flush;
    return;
  }
  // The last column stays free: writing there makes some terminals wrap.
  const auto room = static_cast<std::size_t>(std::max(*width - 1, 0));
  out_ << '\r' << text.substr(0, room) << "\x1b[K" << std::flush;
  visible_ = true;
}

void StatusLine::print(const std::string& text) {
  clear();
  out_ << text << '\n' << std::flush;
}

void StatusLine::clear() {
  if (!visible_) return;
  out_ << "\r\x1b[K" << std::flush;
  visible_ = false;
}

}  // namespace study
