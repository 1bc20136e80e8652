// SPDX-License-Identifier: ISC
// The scanner and the index over any bytes. Checksums are mended first, so that they do not keep the fuzzer out.
#include <cstdlib>
#include <vector>

#include <mirage/store/tar/index.hpp>

using namespace mirage;
using namespace mirage::store::tar;

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

void mend(MutableBytes block) {
  std::uint64_t sum = 8 * ' ';
  for (std::size_t i = 0; i < block_size; ++i) {
    if (i < header_at::checksum || i >= header_at::type) sum += std::to_integer<std::uint64_t>(block[i]);
  }
  for (std::size_t i = 8; i-- > 0; sum >>= 3) block[header_at::checksum + i] = static_cast<std::byte>('0' + (sum & 7));
}

void scan(std::vector<std::byte>& image, bool mending) {
  Scanner scanner{image.size()};
  Index index;
  std::uint64_t last = 0;
  while (!scanner.ended()) {
    const MutableBytes block = MutableBytes{image}.subspan(scanner.position(), block_size);
    if (mending && !is_zero(block)) mend(block);
    const auto member = scanner.feed(block);
    if (!member) break;
    require(scanner.position() <= image.size());
    require(scanner.position() > last || scanner.ended());
    last = scanner.position();
    if (!*member || (*member)->kind == Member::Kind::other) continue;
    require((*member)->offset <= image.size() && (*member)->size <= image.size() - (*member)->offset);
    const std::string_view key = key_of((*member)->name);
    if (valid_key(key) && !key.empty()) require(index.add(key, **member) == Index::Outcome::added);
  }
  index.finish();
  BufferPool pool{1 << 20};
  std::string after;
  for (std::size_t i = 0; i <= index.size(); ++i) {
    KvPage page{pool};
    index.list("", after, 1, page);
    if (page.empty()) break;
    const KvEntry entry = *page.begin();
    require(entry.name > after);
    require(index.kind_of(entry.name) != KvKind::absent);
    after = entry.name;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes bytes = std::as_bytes(std::span{data, size});
  std::vector<std::byte> image(bytes.begin(), bytes.end());
  scan(image, false);
  scan(image, true);
  if (size > 0) (void)Extension::parse(as_text(bytes));
  return 0;
}
