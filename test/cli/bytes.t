What programs read with --json is UTF-8, whatever bytes names, keys and values are made of: what is not shows as U+FFFD.

  $ bad=$(printf 'a\377b') && check() { python3 -c 'import json, sys; print(json.loads(sys.stdin.buffer.read().decode()))'; }
  $ mirage store format --json --size 1M "$bad.img" | check
  {'image': 'a�b.img', 'type': 'tree', 'bytes': 1048576}
  $ echo 1 | mirage store set --json "$bad.img" "$bad" | check
  {'key': 'a�b', 'bytes': 2}
  $ echo 1 | mirage store set "$bad.img" "$bad" && mirage store cat "$bad.img" "$bad"
  1
  $ mirage store list --json "$bad.img" | check
  [{'key': 'a�b', 'kind': 'value', 'size': 2}]
  $ mirage store check --json "$bad.img" | check | grep -o "'image': '[^']*'"
  'image': 'a�b.img'
  $ mirage store remove --json "$bad.img" "$bad" | check
  {'key': 'a�b'}

Errors as well.

  $ mirage store cat --json "$bad.img" "$bad" | check
  {'error': {'place': 'a�b.img', 'message': "'a�b' is not there", 'mend': ''}}
  $ mirage "$bad" --json | check
  {'error': {'place': '', 'message': "there is no command 'a�b'", 'mend': 'mirage --help lists them.'}}
  $ mirage query --json -f "$bad/config.cpp" | check
  {'error': {'place': '', 'message': 'there is no a�b/config.cpp', 'mend': "-f names a project's config.cpp, or its folder."}}

A project's keys are text: they are remembered as JSON. What the image is given when it runs may be anything.

  $ mirage new hello -q && cd hello && mirage configure --json --greeting="$bad" | check
  {'error': {'place': '', 'message': 'the value of --greeting is not UTF-8', 'mend': ''}}
  $ mirage configure -q && mirage run --json --dry-run -- --greeting="$bad" | check | grep -o "'--greeting=[^']*'"
  '--greeting=a�b'
  $ sed -i "s/Hello from/$bad/" config.cpp && mirage configure
  mirage: config.cpp: a text of the configuration is not UTF-8
    -> Save the file as UTF-8.
  [1]
