"""Checks of the folder of an embedded store, without a server: rights, file system, room, locks, the server to start."""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ccs.cli.checks.finding import Finding
from ccs.cli.server_info import size
from ccs.embedded import binary, locks
from ccs.embedded.folder import Home
from ccs.embedded.launch import answers
from ccs.errors import CCSError

__all__ = ["check_folder"]

_ROOM = 200_000_000
# Seconds for which a server that starts or ends may hold its lock and not answer.
_TRANSITION = 2.0
_LOOK = 0.1
# File systems whose locks or sockets other machines share, or that have none.
_REMOTE = re.compile(r"nfs\d?|cifs|smb\w*|smbfs|9p|afs|ceph|glusterfs|lustre|gpfs|beegfs|ncpfs|fuse\.(sshfs|s3fs|rclone|gluster\w*|ceph\w*|davfs\w*)")  # fmt: skip
_ESCAPED = re.compile(r"\\([0-7]{3})")


def check_folder(folder: Path) -> Iterator[Finding]:
    """Looks at a folder that holds a store. Makes nothing and starts nothing."""
    home = Home(folder)
    yield from _told("folder", _check_rights, home)
    yield from _told("file system", _check_file_system, home)
    yield from _told("room", _check_room, home)
    yield from _told("socket", _check_socket, home)
    yield from _told("locks", _check_locks, home)
    yield from _told("program", _check_program, home)


def _told(check: str, look: Callable[[Home], Finding], home: Home) -> Iterator[Finding]:
    try:
        yield look(home)
    except OSError as error:
        yield Finding(check, "wrong", f"it cannot be looked at: {error}", "run this as the user who owns the folder")


def _check_rights(home: Home) -> Finding:
    found = home.path.stat()
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid != os.geteuid():
        text = f"{home.path} belongs to user {found.st_uid}, and this is user {os.geteuid()}"
        return Finding("folder", "wrong", text, "run as that user, or give each user a store of their own")
    if not os.access(home.path, os.R_OK | os.W_OK | os.X_OK):
        return Finding("folder", "wrong", f"{home.path} cannot be written", f"chmod u+rwx {home.path}")
    if mode & 0o077:
        text = f"{home.path} is open to other users (mode {mode:04o}): they can read all values"
        return Finding("folder", "wrong", text, f"chmod 700 {home.path}")
    if home.server_lock.exists() and home.server_lock.stat().st_nlink > 1:
        text = f"{home.server_lock} is hard-linked to another folder, whose data a server here would write"
        return Finding("folder", "wrong", text, "copy the folder without hard links, and use the copy")
    return Finding("folder", "fine", f"{home.path}, yours alone")


def _check_file_system(home: Home) -> Finding:
    kind = _file_system(home.path)
    if _REMOTE.fullmatch(kind):
        text = f"it is on {kind}, a network file system: its locks and its sockets may not hold between machines"
        return Finding("file system", "wrong", text, "move the folder to a local disk, or use a server by its URL")
    return Finding("file system", "fine", kind or "not known on this system")


def _file_system(path: Path) -> str:
    """Returns the type of the file system; empty where the system does not tell."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return ""
    real = os.path.realpath(path)
    best = ("", "")
    for line in mounts:
        before, _, after = line.partition(" - ")
        point = _ESCAPED.sub(lambda code: chr(int(code[1], 8)), before.split(" ")[4])
        if (real + "/").startswith(point.rstrip("/") + "/") and len(point) >= len(best[0]):
            best = (point, after.split(" ")[0])
    return best[1]


def _check_room(home: Home) -> Finding:
    free = shutil.disk_usage(home.path).free
    used = sum(file.stat().st_size for file in home.path.rglob("*") if file.is_file())
    text = f"{size(free)} free, {size(used)} used here"
    if free < _ROOM:
        return Finding("room", "wrong", text, "make room: once the disk is full, every write is StoreFull")
    return Finding("room", "fine", text)


def _check_socket(home: Home) -> Finding:
    path = home.socket()
    if not path or not os.path.exists(path):
        return Finding("socket", "fine", "none: no server runs, and the next program that opens the store starts one")
    found = os.stat(path)
    if not stat.S_ISSOCK(found.st_mode):
        return Finding("socket", "wrong", f"{path} is no socket", "remove it while no program has the store open")
    if found.st_uid != os.geteuid() or not os.access(path, os.R_OK | os.W_OK):
        text = f"{path} is not ours to use (owner {found.st_uid}, mode {stat.S_IMODE(found.st_mode):04o})"
        return Finding("socket", "wrong", text, "end the server that made it, as its owner")
    return Finding("socket", "fine", path)


def _check_locks(home: Home) -> Finding:
    until = time.monotonic() + _TRANSITION
    while (found := _look_at_locks(home)).level == "wrong" and time.monotonic() < until:
        time.sleep(_LOOK)
    return found


def _look_at_locks(home: Home) -> Finding:
    if sys.platform != "linux":
        return Finding("locks", "fine", "who holds them is not known on this system")
    server = locks.holders(home.server_lock) if home.server_lock.exists() else []
    keeper = locks.holders(home.keeper_lock) if home.keeper_lock.exists() else []
    clients = set(locks.holders(home.clients_lock)) if home.clients_lock.exists() else set()
    who = f"server {_named(server)}, keeper {_named(keeper)}, {len(clients - set(keeper))} programs have it open"
    if server and not answers(home):
        pids = _named(server)
        text = f"process {pids} holds server.lock, and no server answers on the socket"
        return Finding("locks", "wrong", text, f"if that does not change within a minute, end it: kill {pids}")
    if keeper and not server and not answers(home):
        text = f"process {_named(keeper)} holds keeper.lock, and there is no server"
        return Finding(
            "locks", "wrong", text, f"if that does not change within a minute, end it: kill {_named(keeper)}"
        )
    if server and not keeper:
        text = f"the server ({_named(server)}) has outlived its keeper"
        return Finding("locks", "note", text, "nothing: the next program that opens the store starts another keeper")
    return Finding("locks", "fine", who if server else "nobody holds one")


def _named(pids: list[int]) -> str:
    return " ".join(map(str, pids)) or "none"


def _check_program(home: Home) -> Finding:
    written = home.version()
    try:
        found = binary.find(str(home.path.parent), written)
    except CCSError as error:
        return Finding("program", "wrong", str(error))
    reads = f", which reads the data of {written}" if written else ""
    return Finding("program", "fine", f"{found.version}{reads}: {found.path}")
