An installed copy needs nothing of the source tree.

  $ build=$(dirname "$(dirname "$(command -v mirage)")")
  $ cmake --install "$build" --prefix "$PWD/prefix" >install.log 2>&1 || tail -5 install.log
  $ (cd prefix && ls bin share lib/cmake/mirage)
  bin:
  mirage
  mirage-hvt
  mirage-shards
  mirage-spt
  mirage-usernet

  lib/cmake/mirage:
  mirageConfig.cmake
  mirageConfigVersion.cmake

  share:
  bash-completion
  fish
  man
  mirage
  zsh
  $ PATH=$PWD/prefix/bin:$PATH && hash -r
  $ find prefix/share/mirage -name '*_test.cpp' -o -name tender -type d
  $ grep -rl "$MIRAGE_SOURCE" prefix/share prefix/lib
  [1]

A project somewhere else builds against it.

  $ mkdir elsewhere && cd elsewhere && mirage new hello -q && cd hello
  $ mirage configure -t spt -q && mirage build 2>/dev/null | sed 's/([0-9.]* KiB)/(SIZE)/' && mirage run -- --greeting=installed | head -1
  Built dist/hello.spt (SIZE). Next: mirage run
  info [hello] installed
  $ grep -c "$MIRAGE_SOURCE" build/spt/build.ninja
  0
  [1]

MIRAGE_ROOT overrides where mirage's own files are.

  $ MIRAGE_ROOT=/nowhere mirage query name
  mirage: MIRAGE_ROOT=/nowhere is no mirage installation
    -> It must hold mirage/ and config/include/.
  [1]
  $ MIRAGE_ROOT=$MIRAGE_SOURCE mirage query name
  hello

Another project's CMake builds unikernels with the package.

  $ cd .. && cat > CMakeLists.txt <<END
  > cmake_minimum_required(VERSION 3.25)
  > project(fleet LANGUAGES NONE)
  > find_package(mirage 0.1 REQUIRED)
  > mirage_unikernel(greeter hello spt --greeting=CMake)
  > END
  $ cmake -S . -B out -G Ninja -DCMAKE_PREFIX_PATH="$PWD/../prefix" >cmake.log 2>&1 || tail -5 cmake.log
  $ cmake --build out >cmake.log 2>&1 || tail -5 cmake.log
  $ cd hello && mirage run | head -1
  info [hello] CMake
