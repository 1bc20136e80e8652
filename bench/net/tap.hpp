// SPDX-License-Identifier: ISC
#pragma once

namespace bench {

/// A blocking descriptor of the existing tap `name`; `vnet`: frames carry a virtio_net_hdr of 10 bytes and the offloads
/// for checksums and TCP segmentation are on, as in the tenders. -1, with a message, when that fails.
int open_tap(const char* name, bool vnet);

}  // namespace bench
