Whoever is killed, nothing stays behind.

  $ mirage new echo --template echo -q && cd echo
  $ mirage configure -t spt -q && mirage build -q
  $ start() { rm -f log; mirage run -q -p "$1:7" >log 2>&1 & run=$!; for try in $(seq 400); do grep -qs listening log && break; sleep 0.1; done; children=$(pgrep -P $run); helper=$(pgrep -P $run mirage-usernet); tender=$(pgrep -P $run mirage-spt); }
  $ left() { for try in $(seq 200); do alive=; for pid in $children; do kill -0 $pid 2>/dev/null && alive="$alive $pid"; done; [ -z "$alive" ] && break; sleep 0.1; done; echo "left:$alive"; }
  $ port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')

The command itself, without a chance to clean up.

  $ start $port; echo $children | wc -w
  2
  $ kill -KILL $run; wait $run 2>/dev/null; left
  left:

The same without a user-mode network, whose end would be the tender's, too.

  $ (cd .. && mirage new quiet -q && cd quiet && sed -i 's/(1s)/(1000s)/' main.hpp && mirage configure -t spt -q && mirage build -q)
  $ cd ../quiet; mirage run -q >../echo/log 2>&1 & run=$!; cd ../echo; for try in $(seq 400); do grep -qs Good log && break; sleep 0.1; done; children=$(pgrep -P $run); echo $children | wc -w
  1
  $ kill -KILL $run; wait $run 2>/dev/null; left
  left:

The tender.

  $ start $port; kill -KILL $tender; wait $run; echo "status $?"; left
  status 137
  left:

Politely.

  $ start $port; kill -TERM $run; wait $run; echo "status $?"; left
  status 143
  left:

From a terminal, by its key for that (the terminal's whole group gets SIGINT) or by a SIGINT for the command alone.

  $ cat > terminal.py <<END
  > import os, pty, re, signal, sys, time
  > child, terminal = pty.fork()
  > if child == 0:
  >     signal.signal(signal.SIGINT, signal.SIG_DFL)
  >     os.execvp("mirage", ["mirage", "run", "-p", sys.argv[2] + ":7"])
  > text = b""
  > while b"listening" not in text: text += os.read(terminal, 1000)
  > print(re.search("mirage: (.*)\r", text.decode())[1].replace(sys.argv[2], "PORT"))
  > if sys.argv[1] == "key": os.write(terminal, bytes([3]))
  > else: os.kill(child, signal.SIGINT)
  > for turn in range(200):
  >     ended, status = os.waitpid(child, os.WNOHANG)
  >     if ended: break
  >     time.sleep(0.1)
  > else: os.kill(child, signal.SIGKILL)
  > print("status", os.waitstatus_to_exitcode(status) if ended else "none: it goes on")
  > END
  $ python3 terminal.py key $port
  tcp localhost:PORT leads to port 7
  status 130
  $ python3 terminal.py kill $port
  tcp localhost:PORT leads to port 7
  status 130

The helper: the unikernel says that its network is gone, and ends.

  $ start $port; kill -KILL $helper; wait $run; echo "status $?"; left; grep -o "network 'service' is gone" log
  status 1
  left:
  network 'service' is gone

A build: the compiler waits for a header that nobody writes.

  $ tree() { for pid in $(pgrep -P $1); do echo $pid; tree $pid; done; }
  $ mkfifo slow.hpp && sed -i 's/^#pragma once/&\n#include "slow.hpp"/' main.hpp
  $ start() { rm -f log; "$@" >log 2>&1 & run=$!; for try in $(seq 400); do [ -n "$(children=$(tree $run); [ -n "$children" ] && ps -o args= -p "$(echo $children | tr ' ' ,)" | grep "^[^ ]*clang.* -c build/spt/main.cpp\|^[^ ]*/config/program")" ] && break; sleep 0.1; done; children=$(tree $run); [ -n "$children" ] && echo working; }
  $ start mirage build; kill -TERM $run; wait $run; echo "status $?"; left
  working
  status 143
  left:
  $ start mirage build; kill -KILL $run; wait $run 2>/dev/null; left
  working
  left:
  $ rm slow.hpp && touch slow.hpp

A configuration that does not end.

  $ sed -i 's/^Unikernel configure() {/&\n  for (volatile int i = 0; i < 1; i = 0) {\n  }/' config.cpp
  $ start mirage describe; kill -TERM $run; wait $run; echo "status $?"; left
  working
  status 143
  left:
