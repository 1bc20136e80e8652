// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cstring>

#include <mirage/http/field.hpp>
#include <mirage/http/h2/head.hpp>

namespace mirage::http::h2 {
namespace {

void append_to(MutableSlice& out, std::string_view text) noexcept {
  if (text.empty()) return;
  std::memcpy(out.grow_back(static_cast<std::uint32_t>(text.size())).data(), text.data(), text.size());
}

}  // namespace

void Head::append(std::string_view text) noexcept { append_to(memory_, text); }

bool Head::make_room(BufferPool& pool, std::size_t size) noexcept {
  if (memory_ && memory_.tailroom() >= size) return true;
  MutableSlice larger = pool.allocate_sparing(memory_.size() + size, 0);
  starved_ = !larger;
  if (starved_) return false;
  append_to(larger, text());
  memory_ = std::move(larger);
  return true;
}

void Head::add(BufferPool& pool, std::string_view name, std::string_view value, std::size_t maximum) noexcept {
  // RFC 9113 section 6.5.2: 32 bytes on top for each field; more than what a line takes on top of it.
  size_ += name.size() + value.size() + 32;
  too_large_ = too_large_ || size_ > maximum;
  constexpr std::size_t punctuation = std::string_view{": \r\n\r\n"}.size();  // the end of a section, too
  if (too_large_ || starved_ || !make_room(pool, name.size() + value.size() + punctuation)) return;
  if (name.starts_with(':')) {
    constexpr std::array<std::string_view, pseudo_count> names{":method", ":path", ":authority"};
    const auto found = std::ranges::find(names, name);
    if (found == names.end()) return;  // :scheme says nothing here
    pseudo_[static_cast<std::size_t>(found - names.begin())] = {memory_.size(), value.size()};
    append(value);
    fields_at_ = memory_.size();
    return;
  }
  for (const std::string_view piece : {name, std::string_view{": "}, value, std::string_view{"\r\n"}}) append(piece);
}

Slice Head::to_text(BufferPool& pool) noexcept {
  if (starved_ || pseudo(method).empty() || pseudo(path).empty()) return {};
  MutableSlice out = pool.allocate_sparing(memory_.size() + 64, 0);
  if (!out) return {};
  for (const std::string_view piece :
       {pseudo(method), std::string_view{" "}, pseudo(path), std::string_view{" HTTP/1.1\r\n"}}) {
    append_to(out, piece);
  }
  const std::string_view host = pseudo(authority);
  if (!host.empty()) {
    for (const std::string_view piece : {std::string_view{"host: "}, host, std::string_view{"\r\n"}})
      append_to(out, piece);
  }
  const auto fields = FieldLines{text().substr(fields_at_)};
  bool cookies = false;
  for (const Header field : fields) {
    cookies = cookies || field.name == "cookie";
    if (field.name == "cookie" || (field.name == "host" && field.value == host)) continue;
    for (const std::string_view piece : {field.name, std::string_view{": "}, field.value, std::string_view{"\r\n"}}) {
      append_to(out, piece);
    }
  }
  if (cookies) {
    std::string_view before = "cookie: ";
    for (const Header field : fields) {
      if (field.name != "cookie") continue;
      append_to(out, before);
      append_to(out, field.value);
      before = "; ";
    }
    append_to(out, "\r\n");
  }
  append_to(out, "\r\n");
  return std::move(out).freeze();
}

MutableSlice Head::take_fields() noexcept {
  memory_.remove_prefix(static_cast<std::uint32_t>(fields_at_));
  return std::move(memory_);
}

}  // namespace mirage::http::h2
