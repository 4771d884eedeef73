// The one line at the top of main.
#pragma once

namespace reeve {

/// Makes this program able to hire process workers. Call it first in main:
///
///     int main(int argc, char** argv) {
///       reeve::init(argc, argv);
///
/// A pool starts its workers from a copy of this program; in such a copy `init` becomes the warden
/// or a worker and never returns. Everything above the call (and every static initialiser) runs in
/// the copies, too; nothing below it does: globals that main sets are absent in workers, see
/// ResourceConfig::initializer.
///
/// Errors: none here; a process pool made without this call throws ConfigError that shows the
/// missing line. Cost:   two comparisons in an ordinary program.
void init(int argc, char** argv);

/// True once `init` was called in this process.
bool initialized() noexcept;

}  // namespace reeve
