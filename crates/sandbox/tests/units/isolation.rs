//! What a unit cannot see, reach or inherit.

use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;

use empiric_sandbox::{Access, DOOR, Ending, Network, View, Zygote};

use super::{Level, Place, ZYGOTE, exists, expect, levels, program, run, sandboxes};

#[test]
fn writes_only_where_granted() {
    for level in sandboxes() {
        let place = Place::new(level);
        let data = View { host: place.path("data"), inside: "/data".into(), access: Access::Read };
        std::fs::create_dir(&data.host).unwrap();
        std::fs::write(data.host.join("x"), "1").unwrap();
        let mut unit = place.script(
            "echo mine > own || exit 10
             cat \"$DATA/x\" >&2 || exit 11
             for path in \"$DATA/x\" \"$DATA/new\" /usr/new /etc/passwd /new \"$BESIDE/new\"; do
                 if (echo x > \"$path\") 2>/dev/null; then echo \"wrote $path\"; fi
             done
             setting=/proc/sys/kernel/panic_on_oops
             if (cat $setting | tee $setting) >/dev/null 2>&1; then echo \"set $setting\"; fi
             rm -f \"$DATA/x\" 2>/dev/null && echo removed; true",
        );
        unit.policy.env.insert("DATA".into(), level.path(&data).to_str().unwrap().into());
        unit.policy.env.insert("BESIDE".into(), place.dir.path().to_str().unwrap().into());
        unit.policy.views.push(data);
        let report = run(&unit);
        assert_eq!(
            (&report.ending, report.stdout.text().as_str()),
            (&Ending::Exit(0), ""),
            "{report:#?}"
        );
        assert_eq!(std::fs::read_to_string(place.path("work/own")).unwrap(), "mine\n");
        assert_eq!(std::fs::read_to_string(place.path("data/x")).unwrap(), "1");
        assert!(!exists(&place.path("new")));
    }
}

#[test]
fn what_is_not_granted_is_not_readable() {
    for level in sandboxes() {
        let place = Place::new(level);
        let secret = place.path("secret");
        let script = format!(
            "for file in {} /etc/shadow /proc/1/environ /proc/kcore /dev/kmsg /dev/sda /dev/vda; do
                 if head -c 1 $file >/dev/null 2>&1; then echo \"read $file\"; fi
             done
             for directory in {} /root /home /var/log /opt /sys/class; do
                 if ls $directory >/dev/null 2>&1; then echo \"listed $directory\"; fi
             done",
            secret.display(),
            place.dir.path().display()
        );
        let report = run(&place.script(&script));
        let text = report.stdout.text();
        // Behind bubblewrap process 1 is the sandbox's own.
        let leaks: Vec<&str> = text
            .lines()
            .filter(|l| level != Level::Bwrap || *l != "read /proc/1/environ")
            .collect();
        assert_eq!((&report.ending, leaks), (&Ending::Exit(0), vec![]), "{report:#?}");
    }
}

#[test]
fn no_network() {
    expect(&sandboxes(), "exec 3<>/dev/tcp/127.0.0.1/9", &Ending::Exit(1));
    for level in sandboxes() {
        let script = "import socket
socket.socketpair()
for family in socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK:
    try:
        socket.socket(family, socket.SOCK_DGRAM)
        print('opened', family)
    except PermissionError:
        pass
";
        let report = run(&Place::new(level).argv(["/usr/bin/python3", "-c", script]));
        if matches!(report.ending, Ending::NotExecutable(_)) {
            eprintln!("SKIPPED: no /usr/bin/python3");
            return;
        }
        assert_eq!(
            (&report.ending, report.stdout.text().as_str()),
            (&Ending::Exit(0), ""),
            "{report:#?}"
        );
    }
}

#[test]
fn a_loopback_of_its_own_where_asked_for() {
    for level in sandboxes() {
        let host = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = host.local_addr().unwrap().port();
        let place = Place::new(level);
        let mut unit = place.script(&format!("exec 3<>/dev/tcp/127.0.0.1/{port}"));
        unit.policy.network = Network::Loopback;
        let report = run(&unit);
        match level {
            Level::Bwrap => {
                assert_eq!(report.ending, Ending::Exit(1));
                assert!(report.stderr.text().contains("Connection refused"), "{report:#?}");
            }
            Level::Landlock | Level::None => {
                assert!(matches!(report.ending, Ending::Lost(_)), "{report:#?}")
            }
        }
    }
}

#[test]
fn a_door_at_which_the_harness_answers_and_nothing_else() {
    for level in sandboxes() {
        let host = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = host.local_addr().unwrap().port();
        let place = Place::new(level);
        let mut unit = place.script(&format!(
            "exec 3<>/dev/tcp/127.0.0.1/{DOOR} && echo hello >&3 && head -c 5 <&3; echo
             (exec 4<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null && echo 'reached the machine'
             (exec 4<>/dev/tcp/1.1.1.1/80) 2>/dev/null && echo 'reached the world'
             grep -c : /proc/net/dev"
        ));
        unit.policy.network = Network::Door;
        let mut launch = ZYGOTE.launch(&unit, None).unwrap();
        if level != Level::Bwrap {
            let error = launch.door().unwrap_err().to_string();
            assert!(error.contains("needs bubblewrap"), "{error}");
            continue;
        }
        let door = launch.door().unwrap();
        let answering = std::thread::spawn(move || {
            let (mut visitor, _) = door.accept().unwrap();
            let mut said = [0; 6];
            visitor.read_exact(&mut said).unwrap();
            visitor.write_all(b"world").unwrap();
            said
        });
        let report = launch.run().unwrap();
        assert_eq!(&answering.join().unwrap(), b"hello\n");
        let said = report.stdout.text();
        assert_eq!(
            (&report.ending, said.as_str()),
            (&Ending::Exit(0), "world\n1\n"),
            "{report:#?}"
        );
    }
}

#[test]
fn units_with_doors_do_not_meet() {
    if !levels().contains(&Level::Bwrap) {
        return;
    }
    let place = Place::new(Level::Bwrap);
    let script = format!("exec 3<>/dev/tcp/127.0.0.1/{DOOR} && head -c 1 <&3");
    let mut launches = Vec::new();
    for n in 0..3 {
        let mut unit = place.script(&script);
        unit.record = place.path(&format!("unit{n}.alive"));
        unit.policy.network = Network::Door;
        let mut launch = ZYGOTE.launch(&unit, None).unwrap();
        let door = launch.door().unwrap();
        launches.push((n, launch, door));
    }
    // Each at its own, whatever the order.
    for (n, launch, door) in launches.into_iter().rev() {
        let answering = std::thread::spawn(move || {
            let (mut visitor, _) = door.accept().unwrap();
            visitor.write_all(n.to_string().as_bytes()).unwrap();
        });
        let report = launch.run().unwrap();
        answering.join().unwrap();
        assert_eq!(report.stdout.text(), n.to_string(), "{report:#?}");
    }
}

#[test]
fn kernel_doors_are_shut() {
    let script = "unshare -U true 2>/dev/null && echo 'new user namespace'
        mount -t tmpfs none /unit 2>/dev/null && echo mounted
        chroot . /bin/true 2>/dev/null && echo chroot
        dmesg >/dev/null 2>&1 && echo dmesg
        grep -q 'NoNewPrivs:.*1' /proc/self/status || echo 'may gain privileges'
        grep -q 'CapEff:.*0000000000000000' /proc/self/status || echo 'has capabilities'
        true";
    for level in sandboxes() {
        let report = run(&Place::new(level).script(script));
        assert_eq!(
            (&report.ending, report.stdout.text().as_str()),
            (&Ending::Exit(0), ""),
            "{report:#?}"
        );
    }
}

#[test]
fn the_environment_is_what_was_given() {
    for level in levels() {
        let place = Place::new(level);
        let mut unit = place.argv(["env"]);
        unit.policy.env.insert("GREETING".into(), "good day".into());
        let report = run(&unit);
        let mut names: Vec<String> =
            report.stdout.text().lines().map(|l| l.split('=').next().unwrap().into()).collect();
        // Bubblewrap sets PWD for the directory it changes to.
        names.retain(|name| name != "PWD" && (level == Level::Bwrap || name != "EMPIRIC_UNIT"));
        names.sort();
        assert_eq!(
            names,
            ["CUDA_VISIBLE_DEVICES", "GREETING", "NVIDIA_VISIBLE_DEVICES", "PATH", "TMPDIR"]
        );
        assert!(report.stdout.text().contains("GREETING=good day\n"));
    }
}

#[test]
fn no_descriptor_but_the_standard_three() {
    for level in levels() {
        let report = run(&Place::new(level).argv(["ls", "/proc/self/fd"]));
        // The fourth is the listing itself.
        assert_eq!(report.stdout.text(), "0\n1\n2\n3\n", "{level}");
    }
}

#[test]
fn temporary_files_have_a_private_place_that_goes_away() {
    for level in levels() {
        let place = Place::new(level);
        let report = run(&place.script("echo x > \"$TMPDIR/file\" && ls -A \"$TMPDIR\""));
        assert_eq!(report.stdout.text(), "file\n", "{report:#?}");
        let left: Vec<_> =
            std::fs::read_dir(place.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(
            left.len(),
            3,
            "only the work, the secret and the record should be there: {left:?}"
        );
    }
}

#[test]
fn units_of_a_zygote_apart_hear_nothing_of_the_machine() {
    let name = format!("empiric-test-{}", std::process::id());
    let _listener =
        UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let script =
        format!("import socket; s = socket.socket(socket.AF_UNIX); s.connect('\\0{name}')");
    let apart = Zygote::new(program()).apart();
    for level in sandboxes() {
        let place = Place::new(level);
        let unit = place.argv(["python3", "-c", &script]);
        let report = apart.launch(&unit, None).unwrap().run().unwrap();
        let said = report.stderr.text();
        // Below bubblewrap there is no socket to begin with.
        let deaf = said.contains("Connection refused") || said.contains("Operation not permitted");
        assert!(deaf, "{level}: {report:#?}");
    }
}

#[test]
fn permissions_owners_and_times_are_set_of_own_files_alone() {
    for level in sandboxes() {
        let place = Place::new(level);
        let data = View { host: place.path("data"), inside: "/data".into(), access: Access::Read };
        std::fs::create_dir(&data.host).unwrap();
        std::fs::write(data.host.join("x"), "1").unwrap();
        let stamp = |path: &Path| {
            let found = std::fs::metadata(path).unwrap();
            (found.mode(), found.mtime_nsec(), found.ctime_nsec())
        };
        let others = [data.host.join("x"), data.host.clone(), place.path("secret")];
        let before = others.each_ref().map(|path| stamp(path));
        let mut unit = place.script(
            "for path in \"$DATA/x\" \"$DATA\" \"$BESIDE/secret\" link; do
                 [ \"$path\" = link ] && ln -s \"$DATA/x\" link
                 chmod 700 \"$path\" 2>/dev/null && echo \"chmod $path\"
                 chmod 700 . --reference=. \"$path\" 2>/dev/null && echo \"chmod $path\"
                 touch -d 2001-01-01 \"$path\" 2>/dev/null && echo \"touch $path\"
                 chown \"$(id -u):$(id -g)\" \"$path\" 2>/dev/null && echo \"chown $path\"
             done
             echo 'echo ran' > own && chmod 4750 own && ./own && stat -c '%a' own
             touch -d '2001-02-03 04:05:06 UTC' own && stat -c '%Y' own
             chown \"$(id -u):$(id -g)\" own || echo 'may not keep its own'
             mkdir sub && (cd sub && chmod 711 . && chmod 600 ../own && stat -c '%a' . ../own)
             chmod 640 nothing 2>&1 | grep -c 'No such file'
             cp -p own \"$TMPDIR/copy\" && stat -c '%a %Y' \"$TMPDIR/copy\"",
        );
        unit.policy.env.insert("DATA".into(), level.path(&data).to_str().unwrap().into());
        unit.policy.env.insert("BESIDE".into(), place.dir.path().to_str().unwrap().into());
        unit.policy.views.push(data);
        let report = run(&unit);
        let text = report.stdout.text();
        // Behind bubblewrap the bit by which a program runs as its owner is of no use; here it is not set.
        let text = text.replace("4750", "750");
        assert_eq!(
            (&report.ending, text.as_str()),
            (&Ending::Exit(0), "ran\n750\n981173106\n711\n600\n1\n600 981173106\n"),
            "{report:#?}"
        );
        assert_eq!(others.each_ref().map(|path| stamp(path)), before, "{level}");
    }
}

#[test]
fn flags_and_attributes_of_files_are_out_of_reach() {
    let script = "import array, fcntl, os
file = os.open('own', os.O_CREAT | os.O_RDWR)
for call in (
    lambda: fcntl.ioctl(file, 0x40086602, array.array('l', [0x40])),
    lambda: os.setxattr('own', 'user.message', b'hello'),
    lambda: os.removexattr('own', 'user.message'),
):
    try:
        call()
        print('done')
    except OSError:
        pass
";
    for level in sandboxes() {
        let report = run(&Place::new(level).argv(["python3", "-c", script]));
        assert_eq!(
            (&report.ending, report.stdout.text().as_str()),
            (&Ending::Exit(0), ""),
            "{report:#?}"
        );
    }
}

/// What answers on a socket that has a name, such as the machine's service manager, would do anything for the same user.
#[test]
fn nobody_answers_on_a_socket_with_a_name() {
    for level in sandboxes() {
        let place = Place::new(level);
        let path = place.path("work/socket");
        let outside = UnixListener::bind(&path).unwrap();
        let script = format!(
            "import socket
a, b = socket.socketpair()
a.send(b'x'), b.recv(1)
for kind in socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET:
    try:
        socket.socket(socket.AF_UNIX, kind).connect('{}')
    except OSError:
        pass
try:
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    a.sendto(b'x', '{}')
    print('sent')
except OSError:
    pass
",
            path.display(),
            path.display()
        );
        let report = run(&place.argv(["python3", "-c", &script]));
        assert_eq!(
            (&report.ending, report.stdout.text().as_str()),
            (&Ending::Exit(0), ""),
            "{report:#?}"
        );
        outside.set_nonblocking(true).unwrap();
        assert!(outside.accept().is_err(), "{level}");
    }
}

#[test]
fn no_message_is_left_for_the_next_unit() {
    for level in sandboxes() {
        let place = Place::new(level);
        let key = 0x4500_0000 | std::process::id();
        // Kept by the kernel whatever becomes of its maker, where it is not a namespace's.
        let call = |what: &str| {
            format!(
                "import ctypes
c = ctypes.CDLL(None, use_errno=True)
found = [c.shmget({key}, 4096, {what}), c.msgget({key}, {what}), c.semget({key}, 1, {what}),
         c.mq_open(b'/empiric-{key}', 0o2 | ({what} and 0o100), 0o600, None)]
print(sum(one >= 0 for one in found))
"
            )
        };
        let count = |what| {
            let report = run(&place.argv(["python3", "-c", &call(what)]));
            report.stdout.text().trim().parse::<u32>().unwrap_or_else(|_| panic!("{report:#?}"))
        };
        if level == Level::Landlock {
            assert_eq!(count("0o1600"), 0);
        }
        count("0o1600");
        assert_eq!(count("0"), 0, "{level}");
    }
}

#[test]
fn limits_and_priorities_of_other_processes_are_out_of_reach() {
    let mut other = std::process::Command::new("sleep").arg("100").spawn().unwrap();
    let id = other.id();
    for level in sandboxes() {
        let script = format!(
            "import os, resource
for call in (
    lambda: resource.prlimit({id}, resource.RLIMIT_NOFILE, (10, 10)),
    lambda: os.sched_setaffinity({id}, [0]),
    lambda: os.sched_setscheduler({id}, os.SCHED_IDLE, os.sched_param(0)),
    lambda: os.setpriority(os.PRIO_PROCESS, {id}, 19),
    lambda: os.kill({id}, 9),
):
    try:
        call()
        print('done')
    except OSError:
        pass
resource.setrlimit(resource.RLIMIT_NOFILE, (50, 50))
os.sched_setaffinity(0, os.sched_getaffinity(0))
os.nice(1)
try:
    os.setpriority(os.PRIO_USER, 0, 19)
except PermissionError:
    pass
"
        );
        let report = run(&Place::new(level).argv(["python3", "-c", &script]));
        let nice = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
        let nice = nice.rsplit(") ").next().unwrap().split(' ').nth(16).unwrap().to_owned();
        assert_eq!(
            (&report.ending, report.stdout.text().as_str()),
            (&Ending::Exit(0), ""),
            "{report:#?}"
        );
        let own = std::fs::read_to_string("/proc/self/stat").unwrap();
        let own = own.rsplit(") ").next().unwrap().split(' ').nth(16).unwrap().to_owned();
        assert_eq!(nice, own, "{level}");
        assert!(other.try_wait().unwrap().is_none(), "{level}");
    }
    other.kill().unwrap();
    other.wait().unwrap();
}

/// What an ordinary user cannot remove without looking twice; root could.
#[test]
fn a_unit_that_locks_its_temporary_files_bars_no_other() {
    for level in levels() {
        let place = Place::new(level);
        let script = "mkdir -p \"$TMPDIR/a/b\" && chmod 0 \"$TMPDIR/a/b\" \"$TMPDIR/a\"";
        for _ in 0..2 {
            assert_eq!(run(&place.script(script)).ending, Ending::Exit(0), "{level}");
            assert!(!exists(&place.path("unit.tmp")), "{level}");
        }
    }
}

/// Bytes below a directory that nobody may list, or deeper than any path is long, are bytes.
#[test]
fn nothing_is_written_past_the_disk_limit_where_nobody_looks() {
    for level in levels() {
        let hidden =
            "mkdir -p a/b && cd a/b && head -c 3000000 /dev/zero > file && chmod 0 . .. ; exit 0";
        let deep = "import os
for _ in range(3000):
    os.mkdir('deeper')
    os.chdir('deeper')
open('file', 'wb').write(bytes(3000000))
";
        let place = Place::new(level);
        let mut units = [place.script(hidden), place.argv(["python3", "-c", deep])];
        for unit in &mut units {
            unit.policy.limits.disk = Some(4_000_000);
            let report = run(unit);
            assert!(
                report.ending == Ending::DiskLimit || report.usage.disk_bytes >= 3_000_000,
                "{report:#?}"
            );
        }
    }
}
