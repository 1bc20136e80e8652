// SPDX-License-Identifier: ISC
// Where the key comes from: the first 64 bytes of a disk, which is usually a file that only its owner can read.
#pragma once

#include <mirage/device/crypt/cipher.hpp>
#include <mirage/module/block_port.hpp>

namespace mirage::device::crypt {

/// Refuses a disk that is too small, and a key that is none: zeros, or two equal halves, which XTS forbids.
Task<Result<void, StartError>> load_key(BlockPort& disk, Key& key);

}  // namespace mirage::device::crypt
