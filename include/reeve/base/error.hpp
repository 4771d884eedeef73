// The root of every exception that reeve throws.
#pragma once

#include <stdexcept>
#include <string>

namespace reeve {

/// Base of all of reeve's exceptions. `what()` is a sentence: which limit or value, what was
/// observed, and what to do about it. Copies never throw.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A configuration or argument that cannot work; thrown before anything is started. The text names
/// the value, the range and the remedy.
class ConfigError : public Error {
 public:
  using Error::Error;
};

/// The operating system refused something; `code()` is the errno value.
class SystemError : public Error {
 public:
  /// `what` names the call and its object: "memfd_create(reeve-arena)". The errno text is appended.
  SystemError(int errno_value, const std::string& what);

  int code() const noexcept { return code_; }

 private:
  int code_;
};

/// Throws SystemError with the current errno.
[[noreturn]] void throw_errno(const std::string& what);

}  // namespace reeve
