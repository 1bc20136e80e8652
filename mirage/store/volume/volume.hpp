// SPDX-License-Identifier: ISC
// A volume: two files on one raw block device, data and journal (module type JournaledFile). The data grows from the
// front of the device, the journal from its back; what lies between is free for either. Their sizes stand in two
// headers with checksums that are written alternately. doc/sqlite.md draws the format and says what holds after a
// power cut.
//
// A device that holds something else is refused, and nothing is formatted unless `create` says so; then only a device
// whose headers are blank. After a write or a flush has failed nothing more is written: what is on the device is what
// the next start finds.
#pragma once

#include <mirage/store/volume/part.hpp>
#include <mirage/store/volume/start.hpp>
