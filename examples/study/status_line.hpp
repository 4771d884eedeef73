// One line that says how far the work is: rewritten in place on a terminal, printed now and then
// elsewhere.
#pragma once

#include <functional>
#include <iosfwd>
#include <optional>
#include <string>

#include <reeve/base/clock.hpp>

namespace study {

/// Width of the terminal behind a file descriptor; empty when it is none.
std::optional<int> terminal_width(int fd);

/// Not for use by several threads at once.
class StatusLine {
 public:
  using Width = std::function<std::optional<int>()>;

  /// `width` is asked before each line, so that a resized window is noticed.
  StatusLine(std::ostream& out, Width width,
             const reeve::Clock& clock = reeve::SystemClock::instance());
  /// Wipes the line.
  ~StatusLine();
  StatusLine(const StatusLine&) = delete;
  StatusLine& operator=(const StatusLine&) = delete;

  /// Shows `text`, cut to the width; at most ten times a second on a terminal, else once in two
  /// seconds.
  void show(const std::string& text);
  /// Prints a line that stays, above the status line.
  void print(const std::string& text);
  /// Takes the status line away.
  void clear();

 private:
  std::ostream& out_;
  Width width_;
  const reeve::Clock& clock_;
  std::optional<reeve::Clock::time_point> shown_at_;
  bool visible_ = false;
};

}  // namespace study
