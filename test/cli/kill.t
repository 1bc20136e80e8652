Whoever is killed, nothing stays behind.

  $ mirage new echo --template echo -q && cd echo
  $ mirage configure -t spt -q && mirage build -q
  $ start() { mirage run -q -p "$1:7" >log 2>&1 & run=$!; for try in $(seq 400); do grep -q listening log && break; sleep 0.1; done; children=$(pgrep -P $run); helper=$(pgrep -P $run mirage-usernet); tender=$(pgrep -P $run mirage-spt); }
  $ left() { for try in $(seq 200); do alive=; for pid in $children; do kill -0 $pid 2>/dev/null && alive="$alive $pid"; done; [ -z "$alive" ] && break; sleep 0.1; done; echo "left:$alive"; }
  $ port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')

The command itself, without a chance to clean up.

  $ start $port; echo $children | wc -w
  2
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

The helper: the unikernel says that its network is gone, and ends.

  $ start $port; kill -KILL $helper; wait $run; echo "status $?"; left; grep -o "network 'service' is gone" log
  status 1
  left:
  network 'service' is gone
