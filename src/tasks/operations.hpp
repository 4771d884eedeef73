// The coroutines behind the store's verbs: submit, sleep until the disk has it, answer.
#pragma once

#include "tasks/engine.hpp"

namespace reeve::tasks::detail {

using EnginePtr = std::shared_ptr<Engine>;

boost::asio::awaitable<TaskRecord> perform(EnginePtr engine, std::string id, Command command,
                                           Durability durability);
/// Throws `error` in the name of the task: with its state, where there is a record.
boost::asio::awaitable<TaskRecord> refuse(EnginePtr engine, std::string id, TaskError error);
boost::asio::awaitable<bool> perform_delete(EnginePtr engine, std::string id, bool force);
boost::asio::awaitable<TaskRecord> wait_settled(EnginePtr engine, std::string id);
boost::asio::awaitable<TaskRecord> wait_limited(EnginePtr engine, std::string id,
                                                std::chrono::milliseconds timeout);
boost::asio::awaitable<std::size_t> cleanup(EnginePtr engine, std::chrono::milliseconds max_age);
boost::asio::awaitable<void> flush_all(EnginePtr engine);
/// Until each is decided; then throws the first failure. An earlier one may fail where the last
/// does not.
boost::asio::awaitable<void> all_durable(std::vector<TicketPtr> tickets);

}  // namespace reeve::tasks::detail
