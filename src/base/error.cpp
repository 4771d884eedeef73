// SystemError carries errno's text.
#include <reeve/base/error.hpp>

#include <cerrno>
#include <system_error>

namespace reeve {

SystemError::SystemError(int errno_value, const std::string& what)
    : Error(what + ": " + std::generic_category().message(errno_value)), code_(errno_value) {}

void throw_errno(const std::string& what) {
  throw SystemError(errno, what);
}

}  // namespace reeve
