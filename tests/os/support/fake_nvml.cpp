// A library that looks like NVML. FAKE_NVML_FILE names a file of "pid bytes" lines, read at every
// question; FAKE_NVML_ERROR makes every reading fail with that code. Built several times: OLD has
// only the older symbols, BARE only what loading needs, EMPTY no GPU, BROKEN fails to start.
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

int error_asked() {
  const char* text = std::getenv("FAKE_NVML_ERROR");
  return text != nullptr ? std::atoi(text) : 0;
}

struct Memory1 {
  unsigned long long total, free, used;
};
struct Memory2 {
  unsigned version;
  unsigned long long total, reserved, free, used;
};
struct Process {
  unsigned pid;
  unsigned long long bytes;
  unsigned instance, compute;
};

int list(void* device, unsigned* count, Process* to) {
  if (error_asked() != 0) return error_asked();
  unsigned found = 0;
  const char* name = std::getenv("FAKE_NVML_FILE");
  std::FILE* file =
      name != nullptr && device == reinterpret_cast<void*>(1) ? std::fopen(name, "r") : nullptr;
  Process process{};
  while (file != nullptr && std::fscanf(file, "%u %llu", &process.pid, &process.bytes) == 2) {
    if (found < *count) to[found] = process;
    ++found;
  }
  if (file != nullptr) std::fclose(file);
  const int result = found > *count ? 7 : 0;
  *count = found;
  return result;
}

}  // namespace

extern "C" {

int nvmlInit_v2() {
#ifdef BROKEN
  return 9;
#else
  return 0;
#endif
}
int nvmlShutdown() {
  return 0;
}
const char* nvmlErrorString(int result) {
  return result == 9 ? "Driver Not Loaded" : result == 15 ? "GPU is lost" : "fake error";
}
int nvmlDeviceGetCount_v2(unsigned* count) {
#ifdef EMPTY
  *count = 0;
#else
  *count = 2;
#endif
  return 0;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** device) {
  *device = reinterpret_cast<void*>(static_cast<unsigned long>(index) + 1);
  return 0;
}

#ifndef BARE
int nvmlDeviceGetName(void*, char* to, unsigned size) {
  std::snprintf(to, size, "Fake GPU");
  return error_asked();
}
int nvmlDeviceGetMemoryInfo(void*, Memory1* memory) {
  *memory = {1000, 900, 100};
  return error_asked();
}
#ifdef OLD
int nvmlDeviceGetComputeRunningProcesses_v2(void* device, unsigned* count, Process* to) {
  return list(device, count, to);
}
#else
int nvmlDeviceGetMemoryInfo_v2(void*, Memory2* memory) {
  if (memory->version != (40u | 2u << 24)) return 25;
  memory->total = 1000;
  memory->reserved = 50;
  memory->free = 800;
  memory->used = 150;
  return error_asked();
}
int nvmlDeviceGetComputeRunningProcesses_v3(void* device, unsigned* count, Process* to) {
  return list(device, count, to);
}
int nvmlDeviceGetUtilizationRates(void*, unsigned* rates) {
  rates[0] = 37;
  rates[1] = 5;
  return error_asked();
}
int nvmlDeviceGetTemperature(void*, int, unsigned* degrees) {
  *degrees = 61;
  return error_asked();
}
int nvmlDeviceGetTotalEnergyConsumption(void*, unsigned long long* millijoules) {
  *millijoules = 123456;
  return error_asked();
}
#endif
#endif
}
