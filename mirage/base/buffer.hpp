// SPDX-License-Identifier: ISC
// The one buffer of the system, shared by network, storage and TLS.
//
// A BufferBlock is a counted piece of memory from a BufferPool. A Slice is a counted, read-only view into a block (or
// into static memory, which needs no count). A MutableSlice is the only reference to its block and may be written and
// grown into headroom and tailroom; freeze() turns it into a Slice. Counts are not atomic: a pool belongs to one shard.
// Memory is charged by bytes *pinned* (the block), not by payload: see Slice::pinned().
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <utility>

#include <mirage/base/bytes.hpp>

namespace mirage {

class BufferPool;

/// Header in front of a block's bytes.
struct alignas(32) BufferBlock {
  BufferPool* pool;
  BufferBlock* next_free;
  std::uint32_t references;
  std::uint32_t capacity;
  [[nodiscard]] std::byte* data() noexcept { return reinterpret_cast<std::byte*>(this + 1); }
};

/// Read-only, counted view of bytes. Copying shares the block.
class Slice {
 public:
  constexpr Slice() noexcept = default;
  Slice(const Slice& other) noexcept : data_(other.data_), size_(other.size_), block_(other.block_) { retain(); }
  Slice(Slice&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        block_(std::exchange(other.block_, nullptr)) {}
  Slice& operator=(Slice other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(block_, other.block_);
    return *this;
  }
  ~Slice() { release(); }

  /// A view of memory that lives as long as the image (linked-in files, string literals). Pins nothing.
  [[nodiscard]] static Slice from_static(Bytes bytes) noexcept {
    Slice slice;
    slice.data_ = bytes.data();
    slice.size_ = static_cast<std::uint32_t>(bytes.size());
    return slice;
  }
  [[nodiscard]] static Slice from_static(std::string_view text) noexcept { return from_static(as_bytes(text)); }

  [[nodiscard]] Bytes bytes() const noexcept { return {data_, size_}; }
  [[nodiscard]] std::string_view text() const noexcept { return as_text(bytes()); }
  [[nodiscard]] const std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::uint32_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  /// Bytes of memory this slice keeps alive; 0 for static memory.
  [[nodiscard]] std::uint32_t pinned() const noexcept {
    return block_ == nullptr ? 0 : block_->capacity + static_cast<std::uint32_t>(sizeof(BufferBlock));
  }
  /// True when no other slice shares the block (static memory is always shared).
  [[nodiscard]] bool unique() const noexcept { return block_ != nullptr && block_->references == 1; }
  [[nodiscard]] const BufferBlock* block() const noexcept { return block_; }

  /// The part [offset, offset + count), clamped to the slice; shares the block.
  [[nodiscard]] Slice sub(std::size_t offset, std::size_t count = SIZE_MAX) const noexcept {
    Slice part = *this;
    part.remove_prefix(offset);
    if (count < part.size_) part.size_ = static_cast<std::uint32_t>(count);
    return part;
  }
  /// Both clamp to the slice's size.
  void remove_prefix(std::size_t count) noexcept {
    const auto removed = count < size_ ? static_cast<std::uint32_t>(count) : size_;
    data_ += removed;
    size_ -= removed;
  }
  void remove_suffix(std::size_t count) noexcept { size_ -= count < size_ ? static_cast<std::uint32_t>(count) : size_; }

 private:
  friend class MutableSlice;
  inline void retain() const noexcept {
    if (block_ != nullptr) ++block_->references;
  }
  inline void release() noexcept;
  const std::byte* data_ = nullptr;
  std::uint32_t size_ = 0;
  BufferBlock* block_ = nullptr;
};

/// The sole owner of a block, with head- and tailroom to grow into. Move-only.
class MutableSlice {
 public:
  constexpr MutableSlice() noexcept = default;
  MutableSlice(MutableSlice&& other) noexcept
      : block_(std::exchange(other.block_, nullptr)),
        begin_(std::exchange(other.begin_, 0)),
        size_(std::exchange(other.size_, 0)) {}
  MutableSlice& operator=(MutableSlice&& other) noexcept {
    std::swap(block_, other.block_);
    std::swap(begin_, other.begin_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~MutableSlice() { release(); }

  [[nodiscard]] explicit operator bool() const noexcept { return block_ != nullptr; }
  [[nodiscard]] MutableBytes bytes() noexcept { return {block_ == nullptr ? nullptr : block_->data() + begin_, size_}; }
  [[nodiscard]] Bytes bytes() const noexcept { return {block_ == nullptr ? nullptr : block_->data() + begin_, size_}; }
  [[nodiscard]] std::uint32_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] std::uint32_t headroom() const noexcept { return begin_; }
  [[nodiscard]] std::uint32_t tailroom() const noexcept {
    return block_ == nullptr ? 0 : block_->capacity - begin_ - size_;
  }
  /// All free bytes behind the content, for a device to fill; follow with grow_back().
  [[nodiscard]] MutableBytes tail() noexcept {
    return {block_ == nullptr ? nullptr : block_->data() + begin_ + size_, tailroom()};
  }
  /// Grows at the front into the headroom; the new bytes are unspecified. Precondition: count <= headroom().
  MutableBytes grow_front(std::uint32_t count) noexcept {
    begin_ -= count;
    size_ += count;
    return bytes().first(count);
  }
  /// Grows at the back into the tailroom. Precondition: count <= tailroom().
  MutableBytes grow_back(std::uint32_t count) noexcept {
    size_ += count;
    return bytes().last(count);
  }
  void truncate(std::uint32_t size) noexcept { size_ = size < size_ ? size : size_; }
  void remove_prefix(std::uint32_t count) noexcept {
    count = count < size_ ? count : size_;
    begin_ += count;
    size_ -= count;
  }
  /// Empties the content and puts its start at `headroom`. Precondition: headroom <= capacity.
  void reset(std::uint32_t headroom) noexcept {
    begin_ = headroom;
    size_ = 0;
  }
  /// Gives up the right to write.
  [[nodiscard]] Slice freeze() && noexcept {
    Slice slice;
    slice.data_ = block_ == nullptr ? nullptr : block_->data() + begin_;
    slice.size_ = size_;
    slice.block_ = std::exchange(block_, nullptr);
    begin_ = size_ = 0;
    return slice;
  }

 private:
  friend class BufferPool;
  MutableSlice(BufferBlock* block, std::uint32_t headroom) noexcept : block_(block), begin_(headroom) {}
  inline void release() noexcept;
  BufferBlock* block_ = nullptr;
  std::uint32_t begin_ = 0;
  std::uint32_t size_ = 0;
};

/// Bytes that one frame's block holds: an Ethernet frame of MTU 1500 with generous headroom.
inline constexpr std::uint32_t frame_capacity = 2048 - sizeof(BufferBlock);
/// Bytes of a middle block: the head of an HTTP message, of 8 KiB at most by default, with what a proxy adds.
inline constexpr std::uint32_t middle_capacity = 10 * 1024 - sizeof(BufferBlock);
/// Bytes of a large block: a 64 KiB segment with headroom.
inline constexpr std::uint32_t large_capacity = 66 * 1024 - sizeof(BufferBlock);
/// Headroom that suffices for every header that the stack and devices put in front of a payload.
inline constexpr std::uint32_t header_headroom = 128;

/// Blocks of three sizes (frame, middle and large) taken from the allocator on demand, kept on free lists, bounded in
/// bytes. Were there no middle ones, who sends a little more than a frame holds and nothing then would pin 66 KiB.
/// Exhaustion is a value: allocate() returns an empty MutableSlice and counts it.
class BufferPool {
 public:
  struct Statistics {
    std::size_t bytes_in_use = 0;    ///< blocks handed out, with their headers
    std::size_t bytes_reserved = 0;  ///< taken from the allocator: in use and on free lists
    std::size_t peak_in_use = 0;
    std::uint64_t failures = 0;  ///< allocations refused
  };

  /// At most `bytes` are ever taken from the allocator.
  explicit BufferPool(std::size_t bytes) noexcept : bound_(bytes) {}
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;
  ~BufferPool();

  /// A block with room for `headroom + size` bytes, content empty. Empty slice when the bound is reached or the
  /// request exceeds large_capacity.
  [[nodiscard]] MutableSlice allocate(std::size_t size, std::uint32_t headroom = header_headroom) noexcept;
  /// The same for what an application keeps (text to send, bodies): leaves the last quarter of the bound to received
  /// frames and headers, without which nothing that was sent would ever be acknowledged and released. More than low()
  /// asks for: two hosts full of text for each other must not close their windows to each other for ever.
  [[nodiscard]] MutableSlice allocate_sparing(std::size_t size, std::uint32_t headroom = header_headroom) noexcept;
  /// Copies `bytes`, sparing; an empty slice (for non-empty bytes) when no block is to be had.
  [[nodiscard]] Slice copy(Bytes bytes, std::uint32_t headroom = 0) noexcept;

  [[nodiscard]] const Statistics& statistics() const noexcept { return statistics_; }
  [[nodiscard]] std::size_t bound() const noexcept { return bound_; }
  /// Bytes that may still be handed out.
  [[nodiscard]] std::size_t available() const noexcept { return bound_ - statistics_.bytes_in_use; }
  /// True when less than 1/8 of the bound is left: copy small, drop out-of-order data, close windows.
  [[nodiscard]] bool low() const noexcept { return available() < bound_ / 8; }

 private:
  friend class Slice;
  friend class MutableSlice;
  struct Class {
    std::uint32_t capacity;
    BufferBlock* free = nullptr;
  };
  [[nodiscard]] BufferBlock* take(Class& of) noexcept;
  /// Gives idle blocks to the allocator until `bytes` more may be reserved; false when there are too few.
  bool make_room(std::size_t bytes) noexcept;
  void give_back(BufferBlock* block) noexcept;

  std::size_t bound_;
  std::array<Class, 3> classes_{{{frame_capacity}, {middle_capacity}, {large_capacity}}};
  Statistics statistics_;
};

inline void Slice::release() noexcept {
  if (block_ != nullptr && --block_->references == 0) block_->pool->give_back(block_);
}

inline void MutableSlice::release() noexcept {
  if (block_ != nullptr) block_->pool->give_back(block_);
}

/// Up to `capacity` slices in place: the payload of a frame, or one read of a flow.
class SliceList {
 public:
  static constexpr std::size_t capacity = 18;

  SliceList() noexcept {}  // NOLINT: the storage stays uninitialised on purpose
  explicit SliceList(Slice slice) noexcept { (void)push_back(std::move(slice)); }
  SliceList(SliceList&& other) noexcept { take(other); }
  SliceList(const SliceList& other) noexcept {
    for (const Slice& slice : other) (void)push_back(slice);
  }
  SliceList& operator=(SliceList&& other) noexcept {
    if (this != &other) {
      clear();
      take(other);
    }
    return *this;
  }
  SliceList& operator=(const SliceList& other) noexcept {
    if (this != &other) {
      clear();
      for (const Slice& slice : other) (void)push_back(slice);
    }
    return *this;
  }
  ~SliceList() { clear(); }

  /// False when full; empty slices are accepted and dropped.
  [[nodiscard]] bool push_back(Slice slice) noexcept {
    if (slice.empty()) return true;
    if (count_ == capacity) return false;
    bytes_ += slice.size();
    new (&storage_[count_ * sizeof(Slice)]) Slice(std::move(slice));
    ++count_;
    return true;
  }
  void clear() noexcept {
    for (std::size_t i = 0; i < count_; ++i) begin()[i].~Slice();
    count_ = 0;
    bytes_ = 0;
  }
  /// Removes `count` bytes (clamped) from the front.
  void remove_prefix(std::size_t count) noexcept;
  /// Takes the first `count` bytes (clamped) out.
  [[nodiscard]] SliceList take_prefix(std::size_t count) noexcept;
  /// Keeps the first `size` bytes.
  void truncate(std::size_t size) noexcept;

  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
  [[nodiscard]] bool full() const noexcept { return count_ == capacity; }
  [[nodiscard]] std::size_t size() const noexcept { return count_; }
  /// Sum of the slices' sizes.
  [[nodiscard]] std::size_t byte_count() const noexcept { return bytes_; }
  [[nodiscard]] Slice* begin() noexcept { return std::launder(reinterpret_cast<Slice*>(storage_)); }
  [[nodiscard]] Slice* end() noexcept { return begin() + count_; }
  [[nodiscard]] const Slice* begin() const noexcept { return std::launder(reinterpret_cast<const Slice*>(storage_)); }
  [[nodiscard]] const Slice* end() const noexcept { return begin() + count_; }
  [[nodiscard]] Slice& operator[](std::size_t index) noexcept { return begin()[index]; }
  [[nodiscard]] const Slice& operator[](std::size_t index) const noexcept { return begin()[index]; }

 private:
  /// Precondition: this list is empty.
  void take(SliceList& other) noexcept {
    for (std::size_t i = 0; i < other.count_; ++i) {
      new (&storage_[i * sizeof(Slice)]) Slice(std::move(other.begin()[i]));
    }
    count_ = std::exchange(other.count_, 0);  // what was moved from owns nothing: no destructor is missed
    bytes_ = std::exchange(other.bytes_, 0);
  }
  // In front of the slices: a list of one or two, as most are, is then one cache line.
  std::size_t bytes_ = 0;
  std::uint32_t count_ = 0;
  alignas(Slice) std::byte storage_[capacity * sizeof(Slice)];  // NOLINT
};

}  // namespace mirage
