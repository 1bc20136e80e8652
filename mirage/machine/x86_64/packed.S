// SPDX-License-Identifier: ISC
// PVH entry of a packed image.
#define MIRAGE_PACKED
#include <mirage/machine/x86_64/pvh.S>
