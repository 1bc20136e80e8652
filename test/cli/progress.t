A step that takes long says so where nobody sees it happen, and then how far it is; not with -q or --json.

  $ mirage new hello -q && cd hello && mirage configure -q -t unix && mirage build -q
  $ mkdir ../bin && cat >../bin/ninja <<'END'
  > #!/bin/sh
  > case $* in *-t*) ;; -f*) printf '[1/9] compile\n[3/9] compile [x]\n'; sleep 5;; esac
  > END
  $ chmod +x ../bin/ninja; export PATH=$PWD/../bin:$PATH
  $ mirage build | sed 's/(.*)/(SIZE)/'
  mirage: building the image [3/9]
  Built dist/hello (SIZE). Next: mirage run
  $ mirage build -q
  $ mirage build --json | sed 's/[0-9]*}$/SIZE}/'
  {"image":"dist/hello","debug":"dist/hello.debug","size":SIZE}

On a terminal each step is named and seen, in grey if the terminal has colours.

  $ sed -i s/5/0/ ../bin/ninja && cat > terminal.py <<END
  > import os, pty, sys
  > child, terminal = pty.fork()
  > if child == 0: os.execvp("mirage", ["mirage", "build"])
  > text = b""
  > try:
  >     while more := os.read(terminal, 1000): text += more
  > except OSError: pass
  > print(*[repr(line) for line in text.decode().splitlines() if "image" in line or "3/9" in line], sep="\n")
  > END
  $ TERM=xterm python3 terminal.py
  '\x1b[2mmirage: building the image\x1b[0m'
  '[3/9] compile [x]'
  $ TERM=xterm NO_COLOR=1 python3 terminal.py
  'mirage: building the image'
  '[3/9] compile [x]'
  $ env -u TERM python3 terminal.py
  'mirage: building the image'
  '[3/9] compile [x]'

A port that is built for something else says what it is and does; its path is for scripts.

  $ mkdir -p root/port/thing && cat >root/port/build.sh <<'END'
  > #!/bin/sh
  > path=$(dirname "$0")/built
  > case $* in *--print-path*) echo "$path"; exit 3;; esac
  > mkdir -p "$path/lib" && touch "$path/lib/libport_thing.a" && echo "port thing: done" >&2 && echo "$path"
  > END
  $ chmod +x root/port/build.sh; printf '%s\n' 'cmake_minimum_required(VERSION 3.25)' 'project(x NONE)' 'set(MIRAGE_ROOT ${CMAKE_SOURCE_DIR})' "include($MIRAGE_SOURCE/cmake/port.cmake)" 'mirage_port(thing)' >root/CMakeLists.txt
  $ PATH=${PATH#*:}; cmake -G Ninja -S root -B root/made >/dev/null && ninja -C root/made port_thing_build 2>&1 | grep -v "^ninja\|^\["
  port thing: done
