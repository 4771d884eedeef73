// Identity of functions: in this process, in a re-executed copy, in shared libraries; and what is
// refused.
#include <reeve/codec/function_id.hpp>

#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>
#include <set>
#include <sstream>

#include "tests/codec/support/shared_tasks.hpp"
#include "tests/support/pch.hpp"

namespace reeve::codec {
namespace {

using test::header_lambda;

double free_function(double x) {
  return x + 0.5;
}
template <class T>
T function_template(T x) {
  return x * 2;
}

constexpr auto local_lambda = [](int x) { return x + 1; };

std::vector<const TaskDescriptor*> some_descriptors() {
  return {&CallTraits<decltype(local_lambda), int>::descriptor(),
          &CallTraits<decltype(header_lambda), int>::descriptor(),
          &CallTraits<FunctionConstant<&free_function>, double>::descriptor(),
          &CallTraits<FunctionConstant<&function_template<int>>, int>::descriptor(),
          &CallTraits<double (*)(double), double>::descriptor(),
          &ChunkTraits<decltype(local_lambda), int>::descriptor(),
          &test::own_lambda_in_second_unit(),
          plugin_linked().lambda,
          plugin_linked().function};
}

std::string error_of(auto&& action) {
  try {
    action();
  } catch (const FunctionError& e) {
    return e.what();
  }
  return "no error";
}

TEST(FunctionId, every_descriptor_resolves_to_itself) {
  std::set<std::uint64_t> offsets;
  for (const TaskDescriptor* d : some_descriptors()) {
    const FunctionId id = identify(*d);
    EXPECT_EQ(&resolve(id), d);
    EXPECT_EQ(identify(*d), id) << "the cached answer is the same";
    EXPECT_EQ(d->cache->module.load(), id.module);
    offsets.insert(id.module ^ id.offset);
  }
  EXPECT_EQ(offsets.size(), some_descriptors().size()) << "all different";
}

TEST(FunctionId, a_lambda_in_a_header_is_one_function_in_all_units) {
  EXPECT_EQ(identify(CallTraits<decltype(header_lambda), int>::descriptor()),
            identify(test::header_lambda_in_second_unit()));
  EXPECT_NE(identify(test::own_lambda_in_second_unit()),
            identify(test::header_lambda_in_second_unit()));
}

TEST(FunctionId, functions_of_a_shared_library_carry_its_module) {
  const FunctionId id = identify(*plugin_linked().lambda);
  EXPECT_NE(id.module, program_id());
  EXPECT_THAT(describe(id), testing::HasSubstr("libreeve_codec_linked.so"));
}

TEST(FunctionId, only_descriptors_are_accepted_at_any_offset_of_a_module) {
  const FunctionId lambda = identify(*plugin_linked().lambda);
  const FunctionId function = identify(*plugin_linked().function);
  std::uint64_t size = 0;
  for (const ModuleInfo& m : loaded_modules()) {
    if (m.id == lambda.module) size = m.size;
  }
  ASSERT_GT(size, 0u);
  std::set<std::uint64_t> accepted;
  const auto attempt = [&](std::uint64_t offset) {
    try {
      resolve({lambda.module, offset});
      accepted.insert(offset);
    } catch (const FunctionError&) {
    }
  };
  for (std::uint64_t offset = 0; offset < size + 4096; offset += 16) {
    attempt(offset);
    attempt(offset + 8);
  }
  EXPECT_THAT(accepted, testing::UnorderedElementsAre(lambda.offset, function.offset));
}

TEST(FunctionId, errors_say_which_check_failed) {
  const FunctionId id = identify(*some_descriptors()[0]);
  const auto text = [](FunctionId f) { return error_of([&] { resolve(f); }); };
  EXPECT_THAT(text({id.module + 1, id.offset}), testing::HasSubstr("not loaded in this worker"));
  EXPECT_THAT(text({id.module, ~std::uint64_t{0} - 4}),
              testing::HasSubstr("outside the module's loaded segments"));
  EXPECT_THAT(text({id.module, id.offset + 8}), testing::HasSubstr("not aligned"));
  static TaskDescriptor copy = *some_descriptors()[0];
  const FunctionId copied{id.module,
                          id.offset + (reinterpret_cast<std::uintptr_t>(&copy) -
                                       reinterpret_cast<std::uintptr_t>(some_descriptors()[0]))};
  EXPECT_THAT(text(copied), testing::HasSubstr("a copy of a task descriptor"));
  copy.self = &copy;
  EXPECT_EQ(&resolve(copied), &copy);
  copy.call = reinterpret_cast<Thunk>(&copy);
  EXPECT_THAT(text(copied), testing::HasSubstr("executable memory"));
  copy.magic[1] ^= 1;
  EXPECT_THAT(text(copied), testing::HasSubstr("no task descriptor is there"));
}

TEST(FunctionId, plain_pointers_must_be_where_a_function_starts) {
  const auto code = reinterpret_cast<const char*>(&free_function);
  const FunctionId id = identify_code(code);
  EXPECT_EQ(resolve_code(id), code);
  EXPECT_EQ(resolve_code(identify_code(reinterpret_cast<const void*>(plugin_linked().plain))),
            reinterpret_cast<const void*>(plugin_linked().plain));
  EXPECT_THAT(error_of([&] { resolve_code({id.module, id.offset + 1}); }),
              testing::HasSubstr("no function starts"));
  EXPECT_THAT(error_of([&] { identify_code(code + 1); }), testing::HasSubstr("run<&function>"));
  static int data = 0;
  EXPECT_THAT(error_of([&] { identify_code(&data); }),
              testing::HasSubstr("not where a function starts"));
  const FunctionId descriptor = identify(*some_descriptors()[0]);
  EXPECT_THROW(resolve_code(descriptor), FunctionError) << "data is not code";
  int local = 0;
  EXPECT_THAT(error_of([&] { identify_code(&local); }), testing::HasSubstr("in no loaded module"));
  EXPECT_THAT(error_of([&] { identify_code(nullptr); }),
              testing::HasSubstr("null function pointer"));
}

TEST(FunctionId, modules_are_listed_program_first) {
  const auto modules = loaded_modules();
  ASSERT_FALSE(modules.empty());
  EXPECT_EQ(modules.front().id, program_id());
  EXPECT_THAT(modules.front().path, testing::HasSubstr("reeve_codec_tests"));
}

TEST(FunctionId, first_look_up_may_happen_on_many_threads) {
  const auto& d = CallTraits<FunctionConstant<&function_template<long>>, long>::descriptor();
  std::vector<FunctionId> ids(4);
  std::vector<std::jthread> threads;
  for (auto& id : ids) threads.emplace_back([&] { id = identify(d); });
  threads.clear();
  for (const auto& id : ids) EXPECT_EQ(&resolve(id), &d);
}

// Runs one test of a new process of this program with ids in its environment; returns its output.
std::string run_child(const std::string& ids) {
  std::array<char, 4096> path{};
  EXPECT_GT(::readlink("/proc/self/exe", path.data(), path.size() - 1), 0);
  const std::string command = "REEVE_TEST_IDS='" + ids + "' '" + path.data() +
                              "' --gtest_filter=FunctionIdChild.answers_for_ids_of_the_parent 2>&1";
  FILE* pipe = ::popen(command.c_str(), "r");
  std::string output;
  std::array<char, 512> line{};
  while (std::fgets(line.data(), line.size(), pipe) != nullptr) output += line.data();
  ::pclose(pipe);
  return output;
}

TEST(FunctionIdChild, answers_for_ids_of_the_parent) {
  const char* ids = std::getenv("REEVE_TEST_IDS");
  if (ids == nullptr) GTEST_SKIP() << "runs only as the child of the tests below";
  std::istringstream in(ids);
  std::cout << "fingerprint " << module_fingerprint() << "\n";
  const auto descriptors = some_descriptors();
  FunctionId id;
  for (char kind; in >> kind >> id.module >> id.offset;) {
    try {
      if (kind == 'c') {
        const auto function = reinterpret_cast<double (*)(double)>(
            reinterpret_cast<std::uintptr_t>(resolve_code(id)));
        std::cout << "code " << function(1) << "\n";
      } else {
        const auto at = std::find(descriptors.begin(), descriptors.end(), &resolve(id));
        std::cout << "task " << at - descriptors.begin() << "\n";
      }
    } catch (const FunctionError& e) {
      std::cout << "refused " << e.what() << "\n";
    }
  }
}

std::string text_of(char kind, FunctionId id) {
  return std::string(1, kind) + " " + std::to_string(id.module) + " " + std::to_string(id.offset) +
         " ";
}

TEST(FunctionId, ids_of_this_process_resolve_in_a_new_one) {
  std::string ids;
  const auto descriptors = some_descriptors();
  for (const auto* d : descriptors) ids += text_of('t', identify(*d));
  ids += text_of('c', identify_code(reinterpret_cast<const void*>(&free_function)));
  const std::string output = run_child(ids);
  for (std::size_t i = 0; i < descriptors.size(); ++i) {
    EXPECT_THAT(output, testing::HasSubstr("task " + std::to_string(i) + "\n"));
  }
  EXPECT_THAT(output, testing::HasSubstr("code 1.5\n"));
  EXPECT_THAT(output,
              testing::HasSubstr("fingerprint " + std::to_string(module_fingerprint()) + "\n"));
}

TEST(FunctionId, a_library_opened_later_is_known_here_and_refused_in_a_new_process) {
  const std::uint64_t before = module_fingerprint();
  void* library = ::dlopen(REEVE_LATE_LIBRARY, RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(library, nullptr) << ::dlerror();
  EXPECT_NE(module_fingerprint(), before);
  const auto tasks = reinterpret_cast<PluginTasks (*)()>(::dlsym(library, "plugin_late"))();
  const FunctionId id = identify(*tasks.lambda);
  EXPECT_EQ(&resolve(id), tasks.lambda);
  EXPECT_THAT(run_child(text_of('t', id)), testing::HasSubstr("not loaded in this worker"));
  ::dlclose(library);
}

}  // namespace
}  // namespace reeve::codec
