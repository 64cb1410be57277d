"""Control groups found and used in trees laid out as hosts have them, and in this host's own where it allows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from assay.sandbox.cgroup import PREFIX, Cgroup, Hierarchy, find_hierarchy, remove_stale


def lay_out(root: Path, cgroup: str, mounts: str) -> None:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(cgroup)
    (root / "proc/self/mountinfo").write_text(mounts)


def group_v2(root: Path) -> Cgroup:
    group = Hierarchy(2, dict.fromkeys(("memory", "pids", "cpuacct"), root)).group()
    folder = next(root.glob(f"{PREFIX}*"))
    (folder / "memory.max").touch()
    (folder / "memory.current").write_text("4096\n")
    (folder / "memory.events").write_text("low 0\nmax 4\noom 3\noom_kill 2\n")
    (folder / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1\n")
    (folder / "pids.max").touch()
    (folder / "pids.current").write_text("3\n")
    return group


def test_version_2_is_read_as_the_kernel_writes_it(tmp_path):
    group = group_v2(tmp_path)
    group.limit_memory(1 << 20)
    group.limit_processes(7)
    folder = next(tmp_path.glob(f"{PREFIX}*"))
    assert (folder / "memory.max").read_text() == str(1 << 20)
    assert (folder / "pids.max").read_text() == "7"
    assert (group.memory_bytes(), group.num_killed(), group.num_processes()) == (4096, 2, 3)
    assert group.num_refused() == 4 + 3
    assert group.cpu_seconds() == 1.5
    assert group.peak_memory_bytes() is None
    assert group.member_files == [str(folder / "cgroup.procs")]
    group.close()


def test_a_host_without_groups_has_none(tmp_path):
    assert find_hierarchy(tmp_path).folders == {}
    lay_out(tmp_path / "a", "0::/\n", "")
    assert find_hierarchy(tmp_path / "a").folders == {}


def test_groups_that_cannot_be_written_are_not_used(tmp_path):
    mounts = "30 1 0:26 / /sys/fs/cgroup/memory ro - cgroup cgroup ro,memory\n"
    lay_out(tmp_path, "4:memory:/mine\n", mounts)
    # The folder of this process's group is not there.
    assert find_hierarchy(tmp_path) == Hierarchy(0, {})


def test_version_2_that_does_not_delegate_is_not_used(tmp_path):
    lay_out(tmp_path, "0::/mine\n", "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n")
    mine = tmp_path / "sys/fs/cgroup/mine"
    mine.mkdir(parents=True)
    (mine / "cgroup.procs").write_text("1\n2\n")
    assert find_hierarchy(tmp_path) == Hierarchy(0, {})
    assert not list(mine.glob(f"{PREFIX}*"))


def test_stale_groups_are_removed_and_others_left(tmp_path):
    stale, live, other = tmp_path / f"{PREFIX}4194304999-0", tmp_path / f"{PREFIX}{os.getpid()}-0", tmp_path / "other"
    for folder in (stale, live, other):
        folder.mkdir()
    remove_stale(Hierarchy(1, {"memory": tmp_path}))
    assert (stale.exists(), live.exists(), other.exists()) == (False, True, True)


def test_this_hosts_groups():
    hierarchy = find_hierarchy()
    if "memory" not in hierarchy.folders:
        pytest.skip("control groups cannot be written here")
    group = hierarchy.group()
    # Other sandboxes that this process keeps open have groups of their own beside it.
    folders = [Path(file).parent for file in group.member_files]
    assert all(folder.exists() for folder in folders)
    group.limit_memory(64 << 20)
    assert group.memory_bytes() < 1 << 20
    assert group.num_killed() == 0
    group.close()
    assert group.remove()
    assert not [folder for folder in folders if folder.exists()]


def test_a_group_is_closed_twice_and_then_not_read(tmp_path):
    group = Cgroup(Hierarchy(1, {"pids": tmp_path}))
    (tmp_path / group.member_files[0].split("/")[-2] / "pids.current").write_text("3\n")
    assert group.num_processes() == 3
    group.close()
    group.close()
    with pytest.raises(OSError, match="closed"):
        group.num_processes()
