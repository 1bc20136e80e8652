// SPDX-License-Identifier: ISC
// What an application's main.hpp needs: tasks, time, and the module types.
#pragma once

#include <mirage/async/channel.hpp>
#include <mirage/async/scope.hpp>
#include <mirage/async/sleep.hpp>
#include <mirage/async/task.hpp>
#include <mirage/module/block.hpp>
#include <mirage/module/database.hpp>
#include <mirage/module/file.hpp>
#include <mirage/module/kv.hpp>
#include <mirage/module/net.hpp>
#include <mirage/module/ready.hpp>
#include <mirage/module/resolver.hpp>
#include <mirage/module/stack.hpp>
