// SPDX-License-Identifier: ISC
#include <doctest/doctest.h>

#include <mirage/base/buffer.hpp>

using namespace mirage;

TEST_CASE("blocks return to the pool when the last slice goes") {
  BufferPool pool{1 << 20};
  {
    MutableSlice slice = pool.allocate(100);
    REQUIRE(slice);
    CHECK(slice.headroom() == header_headroom);
    slice.grow_back(3)[0] = std::byte{42};
    Slice a = std::move(slice).freeze();
    CHECK(a.unique());
    Slice b = a.sub(0, 1);
    CHECK_FALSE(a.unique());
    CHECK(b.size() == 1);
    CHECK(b.bytes()[0] == std::byte{42});
    CHECK(pool.statistics().bytes_in_use == 2048);
  }
  CHECK(pool.statistics().bytes_in_use == 0);
  CHECK(pool.statistics().bytes_reserved == 2048);
}

TEST_CASE("the pool refuses at its bound and counts") {
  BufferPool pool{4096};
  MutableSlice a = pool.allocate(1000);
  MutableSlice b = pool.allocate(1000);
  MutableSlice c = pool.allocate(1000);
  CHECK(a);
  CHECK(b);
  CHECK_FALSE(c);
  CHECK_FALSE(pool.allocate(1 << 20));
  CHECK(pool.statistics().failures == 2);
}

TEST_CASE("idle blocks of one class make room for the other") {
  BufferPool pool{80 * 1024};
  {
    MutableSlice large = pool.allocate(60000);
    CHECK(large);
  }
  MutableSlice blocks[20];
  for (auto& block : blocks) {
    block = pool.allocate(1000);
    CHECK(block);
  }
}

TEST_CASE("a block is of the smallest size that holds what was asked for") {
  BufferPool pool{1 << 20};
  for (const auto [size, bytes] : {std::pair{2016, 2048},
                                   {2017, 10 * 1024},
                                   {10 * 1024 - 32, 10 * 1024},
                                   {10 * 1024 - 31, 66 * 1024},
                                   {66 * 1024 - 32, 66 * 1024}}) {
    CAPTURE(size);
    const MutableSlice slice = pool.allocate(static_cast<std::size_t>(size), 0);
    REQUIRE(slice);
    CHECK(pool.statistics().bytes_in_use == static_cast<std::size_t>(bytes));
  }
  CHECK_FALSE(pool.allocate(66 * 1024 - 31, 0));
  CHECK(pool.statistics().bytes_in_use == 0);
}

TEST_CASE("idle blocks of every class make room, none is lost") {
  BufferPool pool{80 * 1024};
  for (int round = 0; round < 3; ++round) {
    for (const std::size_t size : {1000U, 9000U, 60000U}) {
      MutableSlice blocks[40];
      std::size_t count = 0;
      for (auto& block : blocks) count += (block = pool.allocate(size)) ? 1 : 0;
      CHECK(count == (size == 1000 ? 40 : size == 9000 ? 8 : 1));
    }
  }
}

TEST_CASE("slice lists drop prefixes and suffixes across slices") {
  SliceList list;
  CHECK(list.push_back(Slice::from_static("hello ")));
  CHECK(list.push_back(Slice::from_static("wide ")));
  CHECK(list.push_back(Slice::from_static("world")));
  CHECK(list.byte_count() == 16);
  list.remove_prefix(8);
  CHECK(list.size() == 2);
  CHECK(list[0].text() == "de ");
  list.truncate(4);
  CHECK(list.byte_count() == 4);
  CHECK(list[1].text() == "w");
  list.remove_prefix(100);
  CHECK(list.empty());
  CHECK(list.byte_count() == 0);
}
