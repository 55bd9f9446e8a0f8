use super::*;

#[test]
fn hybrid_hosts_use_the_legacy_controllers() {
    let membership = "9:name=systemd:/\n8:pids:/\n4:memory:/box/a\n2:cpu,cpuacct:/\n0::/\n";
    let table = "\
30 25 0:26 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
31 25 0:27 / /sys/fs/cgroup/pids rw,relatime shared:9 - cgroup cgroup rw,pids
32 25 0:28 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
33 25 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
";
    let expected = Cgroup::V1 {
        memory: "/sys/fs/cgroup/memory/box/a".into(),
        pids: "/sys/fs/cgroup/pids".into(),
        cpuacct: "/sys/fs/cgroup/cpu,cpuacct".into(),
    };
    assert_eq!(Mounts::parse(membership, table).candidates(), [expected]);
}

#[test]
fn a_container_sees_its_part_of_the_unified_hierarchy() {
    let table = "30 25 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw,nsdelegate\n";
    let mounts = Mounts::parse("0::/docker/abc/job\n", table);
    let expected = (PathBuf::from("/sys/fs/cgroup"), PathBuf::from("/sys/fs/cgroup/job"));
    assert_eq!(mounts.unified, Some(expected));
}
