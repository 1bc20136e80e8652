// SPDX-License-Identifier: ISC
#pragma once

#include <span>

#include <tender/error.hpp>

/// What a tender gives up before the guest runs.
namespace mirage::tender {

/// Refuses to start where mappings would be executable against our will (READ_IMPLIES_EXEC).
Result<> check_personality();

/// Closes every descriptor above 2 that is not in `keep`.
Result<> close_other_descriptors(std::span<const int> keep);

/// Standard descriptors that are closed become /dev/null, so that no device gets number 0 to 2.
Result<> open_standard_descriptors();

/// When root: becomes the user `nobody` (65534), or SUDO_UID and SUDO_GID under sudo, with no supplementary groups and
/// no capabilities. Else drops capabilities only. Files must be open before.
Result<> drop_privileges();

/// Overwrites the environment's strings: a guest in this address space has no business with them.
void wipe_environment();

/// No new privileges by exec, no core dump, no new processes.
Result<> restrict_process();

}  // namespace mirage::tender
