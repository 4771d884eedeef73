// The instruction sets that kernels are compiled for, and the one that this machine gets.
#pragma once

namespace reeve::mcmc {

enum class Isa { baseline, avx2, avx512 };
/// The widest instruction set that this machine has; REEVE_MCMC_ISA=baseline|avx2 lowers it.
Isa best_isa() noexcept;
const char* to_string(Isa isa) noexcept;

}  // namespace reeve::mcmc

#if defined(__x86_64__)
#define REEVE_TARGET_AVX2 [[gnu::target("avx2,fma"), gnu::flatten]]
#define REEVE_TARGET_AVX512 \
  [[gnu::target("avx512f,avx512dq,avx512vl,avx512bw,avx2,fma"), gnu::flatten]]
#endif
