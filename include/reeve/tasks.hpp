// Task records: everything of reeve::tasks.
#pragma once

#include <reeve/tasks/error.hpp>
#include <reeve/tasks/fields.hpp>
#include <reeve/tasks/record.hpp>
#include <reeve/tasks/store_config.hpp>
#include <reeve/tasks/task_state.hpp>
#include <reeve/tasks/task_store.hpp>
#include <reeve/tasks/tracking.hpp>
#include <reeve/tasks/watcher.hpp>
