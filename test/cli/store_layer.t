Images with layers between disk and store: partitions, checksums, encryption; and volumes, the disks of SQLite.

  $ (umask 077; head -c 512 /dev/urandom > data.key; head -c 512 /dev/urandom > other.key)
  $ mkdir -p site/css && echo hello > site/index.html && echo 'p {}' > site/css/site.css && seq 3000 > site/numbers

An encrypted disk: made with its store, opened with its key only.

  $ mirage store format --size 1M --layer crypt=data.key secret.img && mirage store import --layer crypt=data.key secret.img site
  Made a tree store in secret.img.
  3 files, 13904 bytes.
  $ mirage store list -r --layer crypt=data.key secret.img
             5  css/site.css
             6  index.html
         13893  numbers
  $ grep -c hello secret.img
  0
  [1]
  $ mirage store check --layer crypt=- secret.img < data.key
  secret.img is clean: 3 values, 1 large values, 1 nodes, 4 data pages, 254 pages, 2 commit.
  $ mirage store check secret.img
  mirage: secret.img: the image is an encrypted disk
    -> --layer crypt=KEYFILE opens it.
  [1]
  $ mirage store check --layer crypt=other.key secret.img
  mirage: secret.img: crypt: wrong key for this disk
  [1]
  $ mirage store check --layer crypt_authenticated=data.key secret.img
  mirage: secret.img: crypt: this disk is not authenticated (crypt)
  [1]
  $ mirage store check --layer checksum --json secret.img
  {"error":{"place":"secret.img","message":"checksum: the disk holds something else: left as it is","mend":""}}
  [1]
  $ head -c 20 data.key > short.key; mirage store check --layer crypt=short.key secret.img
  mirage: short.key: holds no key: 20 bytes, 64 are needed
    -> Make one: (umask 077; head -c 512 /dev/urandom > FILE)
  [1]
  $ mirage store check --layer crypt=no.key secret.img
  mirage: no.key: the key cannot be read: No such file or directory
  [1]

A disk with partitions, each with a store of its own; layers are named from the disk on.

  $ truncate -s 4M disk.img
  $ printf '\203\0\0\0\0\10\0\0\0\10\0\0\0\0\0\0\203\0\0\0\0\20\0\0\0\20' | dd of=disk.img bs=1 seek=450 conv=notrunc status=none
  $ printf '\125\252' | dd of=disk.img bs=1 seek=510 conv=notrunc status=none
  $ mirage store check disk.img
  mirage: disk.img: the image is a disk with partitions
    -> --layer partition=NUMBER says which one, or its GPT name.
  [1]
  $ mirage store format --layer partition=1 --type fat disk.img && mirage store import --layer partition=1 disk.img site
  Made a fat store in disk.img.
  3 files, 13904 bytes.
  $ dd if=disk.img of=fat.img bs=1M skip=1 count=1 status=none; fsck.fat -n fat.img >/dev/null && mcopy -s -i fat.img :: usual && diff -r site usual
  $ mirage store check --layer partition=2 --layer crypt_authenticated=data.key --layer checksum disk.img
  mirage: disk.img: crypt: the disk is blank
    -> mirage store format makes the layer, and a store in it.
  [1]
  $ mirage store format --layer partition=2 --layer crypt_authenticated=data.key --layer checksum disk.img
  Made a tree store in disk.img.
  $ mirage store import --layer partition=2 --layer crypt_authenticated=data.key --layer checksum disk.img site --json
  {"files":3,"bytes":13904}
  $ mirage store export --layer partition=2 --layer crypt_authenticated=data.key --layer checksum disk.img copy && diff -r site copy
  3 files, 13904 bytes.
  $ mirage store check --layer partition=2 --layer crypt_authenticated=data.key --layer checksum disk.img
  disk.img is clean: 3 values, 1 large values, 1 nodes, 4 data pages, 468 pages, 2 commit, 3744 verified sectors.
  $ mirage store check --layer partition=2 disk.img
  mirage: disk.img: the image is an encrypted disk
    -> --layer crypt_authenticated=KEYFILE opens it.
  [1]
  $ mirage store check --layer partition=2 --layer crypt_authenticated=data.key disk.img
  mirage: disk.img: the image is a disk with checksums
    -> --layer checksum opens it.
  [1]
  $ mirage store check --layer partition=1 disk.img
  disk.img is clean: 3 values, 1 directories, 31 used clusters, 2003 clusters.
  $ mirage store list --layer partition=3 disk.img
  mirage: disk.img: partition '3': there is no such partition
  [1]

Damage is found where the store has nothing, too.

  $ mirage store format --size 1M --layer checksum sums.img && mirage store import --layer checksum sums.img site
  Made a tree store in sums.img.
  3 files, 13904 bytes.
  $ mirage store check --layer checksum sums.img
  sums.img is clean: 3 values, 1 large values, 1 nodes, 4 data pages, 250 pages, 2 commit, 2000 verified sectors.
  $ printf x | dd of=sums.img bs=1 seek=900000 conv=notrunc status=none; mirage store check --layer checksum sums.img
  mirage: sums.img: 1 damaged sectors, the first at byte 879104 of the disk that the store is on
  [1]
  $ printf x | dd of=sums.img bs=1 seek=$(LC_ALL=C grep -abo '^1000$' sums.img | head -1 | cut -d: -f1) conv=notrunc status=none
  $ mirage store cat --layer checksum sums.img numbers
  mirage: sums.img: 'numbers': input/output error
  [1]
  $ mirage store check --layer checksum sums.img --json | tr ',' '\n' | grep -e clean -e problem
  "clean":false
  "problem":"2 damaged sectors
  $ mirage store list --type tree sums.img
  mirage: sums.img: the image is a disk with checksums
    -> --layer checksum opens it.
  [1]
  $ head -c 500K sums.img > half.img && mirage store check --layer checksum half.img
  mirage: half.img: checksum: the disk is truncated: 512000 of 1048576 bytes
  [1]
  $ mirage store format --layer crypt=data.key sums.img
  mirage: sums.img: crypt: the disk holds something else: left as it is
  [1]

A volume has two values.

  $ mirage store format --type volume --size 1M notes.img && mirage store set notes.img data site/numbers && mirage store list notes.img
  Made a volume store in notes.img.
         13893  data
             0  journal
  $ mirage store cat notes.img data | cmp - site/numbers && echo hello | mirage store set notes.img data && mirage store cat notes.img data
  hello
  $ mirage store check notes.img
  notes.img is clean: 6 bytes of data, 0 bytes of journal
  note: a volume has checksums of its headers only.
  $ mirage store set notes.img else site/numbers
  mirage: notes.img: 'else': a volume has 'data' and 'journal' only
  [1]
  $ mirage store remove notes.img journal
  mirage: notes.img: 'journal' cannot be removed: a volume has both, always
  [1]
  $ mirage store format --type volume notes.img
  mirage: notes.img: the image is not blank
    -> --force makes a new volume in its place.
  [1]
  $ mirage store format --type volume --size 1M --layer crypt=data.key crypt.img && mirage store import --layer crypt=data.key crypt.img site
  Made a volume store in crypt.img.
  mirage: crypt.img: 'css/site.css': a volume has 'data' and 'journal' only
  [1]
  $ dd if=/dev/zero bs=1M count=2 status=none | mirage store set notes.img data
  mirage: notes.img: 'data': no space left
  [1]

A database that is replaced takes its journal along: SQLite would roll that back into the new one. Half a transaction is not read
without a word.

  $ cat > half.py <<'END'
  > import shutil, sqlite3
  > database = sqlite3.connect("old.db", isolation_level=None)
  > for text in "PRAGMA journal_mode=PERSIST", "PRAGMA cache_size=5", "CREATE TABLE t(x)": database.execute(text)
  > database.executemany("INSERT INTO t VALUES (?)", [["old" * 1000]] * 100)
  > database.execute("BEGIN"); database.execute("UPDATE t SET x = replace(x, 'old', 'new')")
  > shutil.copy("old.db", "half.db"); shutil.copy("old.db-journal", "half.db-journal")
  > END
  $ python3 half.py && sqlite3 new.db "CREATE TABLE n(y); INSERT INTO n VALUES ('fresh')"
  $ mirage store format -q --type volume --size 16M base.img && mirage store set base.img data half.db && mirage store set base.img journal half.db-journal
  $ mirage store check base.img | tail -1
  note: a transaction of the database is unfinished: the next start rolls it back.
  $ mirage store cat base.img data >out.db
  mirage: base.img: 'data' is in the middle of a transaction, which the next start of the image rolls back
    -> So does SQLite, with 'journal' beside the database FILE as FILE-journal.
  $ mirage store cat base.img journal >out.db-journal && sqlite3 out.db "SELECT count(*), min(substr(x, 1, 3)), max(substr(x, 1, 3)) FROM t"
  100|old|old
  $ cp base.img killed.img && mirage store set base.img data new.db
  mirage: base.img: 'journal' had an unfinished transaction of the old database and was emptied
  $ mirage store list base.img && mirage store cat base.img data | cmp - new.db && mirage store check base.img | tail -1
          8192  data
             0  journal
  note: a volume has checksums of its headers only.
  $ mkdir pair && cp half.db pair/data && cp half.db-journal pair/journal && mirage store import base.img pair && mirage store export base.img pair.out && diff -r pair pair.out
  2 files, \d+ bytes. (re)
  mirage: base.img: 'data' is in the middle of a transaction, which the next start of the image rolls back
    -> So does SQLite, with 'journal' beside the database FILE as FILE-journal.
  2 files, \d+ bytes. (re)

A volume keeps the size that it was made with, on whatever disk: what does not fit leaves what is there.

  $ truncate -s 32M base.img && head -c 20M /dev/zero > part && mirage store set base.img data part
  mirage: base.img: 'data': no space left
  [1]
  $ mirage store cat -q base.img data | cmp - half.db && mirage store cat base.img journal | cmp - half.db-journal

Whoever is killed while he replaces it leaves an empty one, and no journal: none that is mixed.

  $ head -c 8M /dev/zero | tr '\0' x >large; bash -c 'ulimit -f 4096; mirage store set killed.img data large; echo killed' 2>/dev/null; mirage store list killed.img
  killed
             0  data
             0  journal

Of every size what is set is there, and the whole disk is the data's when the journal is empty.

  $ for size in 1 65535 65536 65537 131072 16711680; do head -c $size large > part; [ $size -le 8388608 ] || cat large large | head -c $size > part
  >   mirage store set killed.img data part; mirage store cat killed.img data | cmp - part; mirage store set killed.img data < part; mirage store cat killed.img data | cmp - part; done

In other stores the journal is a value like any other: it is left, and that is said.

  $ for type in tree fat; do mirage store format -q --force --type $type --size 4M pair.img; mirage store import -q --to notes pair.img pair; mirage store set pair.img notes/data new.db; mirage store list pair.img notes; done
  mirage: pair.img: 'notes/journal' has an unfinished transaction of the old database: the next start would roll it back
    -> mirage store remove pair.img notes/journal
          8192  notes/data
   +\d+  notes/journal (re)
  mirage: pair.img: 'notes/journal' has an unfinished transaction of the old database: the next start would roll it back
    -> mirage store remove pair.img notes/journal
          8192  notes/data
   +\d+  notes/journal (re)

Wrong usage has status 2.

  $ mirage store check --layer lvm secret.img
  mirage: there is no layer 'lvm'
    -> From the disk to the store: partition=WHICH, checksum, crypt=KEYFILE, crypt_authenticated=KEYFILE.
  [2]
  $ mirage store check --layer crypt secret.img
  mirage: the layer crypt lacks its argument
    -> From the disk to the store: partition=WHICH, checksum, crypt=KEYFILE, crypt_authenticated=KEYFILE.
  [2]
  $ mirage store check --layer checksum=1 secret.img
  mirage: the layer checksum takes nothing
    -> From the disk to the store: partition=WHICH, checksum, crypt=KEYFILE, crypt_authenticated=KEYFILE.
  [2]
  $ mirage store check --layer crypt=- --layer crypt=- secret.img
  mirage: standard input can hold one key only
  [2]
  $ mirage store set --layer crypt=- secret.img key < data.key
  mirage: standard input cannot be both the key and the value
    -> Name a file for one of them.
  [2]
