# SPDX-License-Identifier: ISC
"""A store in a file, through store_drive."""
import subprocess


class Refused(Exception):
    pass


class Store:
    def __init__(self, program, kind, image):
        self.process = subprocess.Popen([program, kind, str(image)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._answer()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        if self.process.wait(60) != 0:
            raise AssertionError(f"store_drive ended with {self.process.returncode}")

    def _answer(self):
        line = self.process.stdout.readline().decode()
        if line.startswith("ok "):
            return self.process.stdout.read(int(line[3:]))
        if line.startswith("error "):
            raise Refused(line[6:].strip())
        raise AssertionError(f"store_drive said {line!r}, status {self.process.wait(60)}")

    def _ask(self, *words, content=b""):
        self.process.stdin.write("\t".join(map(str, words)).encode() + b"\n" + content)
        self.process.stdin.flush()
        return self._answer()

    def get(self, key):
        return self._ask("get", key)

    def set(self, key, value):
        self._ask("set", key, len(value), content=value)

    def partial(self, key, offset, value):
        self._ask("partial", key, offset, len(value), content=value)

    def remove(self, key):
        self._ask("remove", key)

    def rename(self, old, new):
        self._ask("rename", old, new)

    def check(self):
        return self._ask("check").decode()

    def list(self, directory=""):
        return self._ask("list", directory).decode().split("\n")[:-1]

    def tree(self, directory=""):
        """Every value below, by its key; the keys of directories map to None."""
        found = {}
        for name in self.list(directory):
            key = (directory + "/" if directory else "") + name.rstrip("/")
            if name.endswith("/"):
                found[key] = None
                found |= self.tree(key)
            else:
                found[key] = self.get(key)
        return found


def tree_of_folder(folder):
    """The same of a folder of the host."""
    found = {}
    for path in sorted(folder.rglob("*")):
        found[path.relative_to(folder).as_posix()] = None if path.is_dir() else path.read_bytes()
    return found


def refused(call, *arguments):
    """What the store says no with."""
    try:
        call(*arguments)
    except Refused as error:
        return str(error)
    raise AssertionError(f"{call.__name__}{arguments} was accepted")
