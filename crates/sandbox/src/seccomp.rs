//! The system call filter of both sandbox levels: a deny list of what no recipe needs and what widens the kernel's
//! attack surface or steps around the views.
//!
//! A unit pays for the filter when it is installed, not when it calls: the kernel then runs it once for every call
//! there is, and bubblewrap installs it twice. So it finds a call by halves; a list of comparisons, which is what the
//! library compiles, costs each unit some 0.2 ms more.

use std::collections::BTreeMap;
use std::num::TryFromIntError;

use seccompiler::{BpfProgram, sock_filter};

use crate::Error;
use crate::policy::{Level, Network};

/// Refused with "operation not permitted", whatever the arguments.
const DENIED: &[libc::c_long] = &[
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_setns,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_reboot,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_lookup_dcookie,
    libc::SYS_nfsservctl,
    libc::SYS_vhangup,
    libc::SYS_syslog,
    libc::SYS_fanotify_init,
];

/// Answered as by a file system without extended attributes, which are bytes of a file that no size counts. Programs that
/// copy permissions ask for them first, and do without when told so.
const UNSUPPORTED: &[libc::c_long] = &[
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
];

/// Refused besides where a unit shares the machine's processes and its ways of passing messages: what System V and
/// POSIX queues hold outlives every process, so it would carry over to the next unit, and belongs to whoever is the
/// same user.
const SHARED: &[libc::c_long] = &[
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_semctl,
    libc::SYS_msgget,
    libc::SYS_msgsnd,
    libc::SYS_msgrcv,
    libc::SYS_msgctl,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
];

/// There, too, refused for any process but the calling one: limits and scheduling of other units, and of Empiric.
const OWN_ONLY: &[libc::c_long] = &[
    libc::SYS_prlimit64,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setattr,
];

/// There, too, decided by the [deputy](crate::deputy), which does them in the unit's place: Landlock has no say in
/// whose permissions, owners and times are set.
pub(crate) const DEPUTED: &[libc::c_long] = &[
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    FCHMODAT2,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lchown,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
];

/// The same number everywhere, and not known to all versions of the library.
pub(crate) const FCHMODAT2: libc::c_long = 452;

/// Older ways to set times, which no C library of the last ten years uses.
#[cfg(target_arch = "x86_64")]
const OUTDATED: &[libc::c_long] = &[libc::SYS_utime, libc::SYS_utimes, libc::SYS_futimesat];
#[cfg(not(target_arch = "x86_64"))]
const OUTDATED: &[libc::c_long] = &[];

/// Commands of `ioctl` that are refused: typing into a terminal, and flags of files, which need no more than that the
/// file is open for reading and are bytes that no size counts. `asm-generic/ioctls.h`, `linux/fs.h`.
const COMMANDS: &[u32] =
    &[TIOCSTI, TIOCLINUX, FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR, FS_IOC_SETVERSION];
const TIOCSTI: u32 = 0x5412;
const TIOCLINUX: u32 = 0x541C;
const FS_IOC_SETFLAGS: u32 = 0x4008_6602;
const FS_IOC_FSSETXATTR: u32 = 0x401C_5820;
const FS_IOC_SETVERSION: u32 = 0x4008_7602;

/// Families of sockets.
const UNIX: u32 = libc::AF_UNIX.cast_unsigned();
const INTERNET: &[u32] = &[
    UNIX,
    libc::AF_INET.cast_unsigned(),
    libc::AF_INET6.cast_unsigned(),
    // What a C library asks for its addresses.
    libc::AF_NETLINK.cast_unsigned(),
];

/// Answered as if the kernel did not have them, because programs then fall back: `clone3`, whose flags a filter
/// cannot read, and io_uring, which would open sockets past the filter.
const ABSENT: &[libc::c_long] = &[
    libc::SYS_clone3,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

/// From here on every call is absent: those of Linux 6.13 (the first is `setxattrat`) and later are not known to this
/// list, and x86_64's x32 calls, which share its architecture mark, would slip past it. New calls have had the same
/// number on all architectures since Linux 5.1.
const UNKNOWN: u32 = 463;

/// What a call is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Allowed,
    /// "Operation not permitted".
    Refused,
    /// "No such system call".
    Absent,
    /// "Operation not supported".
    Unsupported,
    /// Whatever the helper says.
    Deputed,
    /// Refused where any of these says so; else allowed.
    Judged(Vec<Test>),
}

/// Looks at the masked low half of one argument; the kernel reads no more of the arguments in question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Test {
    argument: u32,
    mask: u32,
    /// Refuses if it is `among` these, or if it is not.
    among: bool,
    values: &'static [u32],
}

impl Test {
    /// Refuses where this `argument` is one of `values`.
    fn refuse(argument: u32, values: &'static [u32]) -> Self {
        Self { argument, mask: u32::MAX, among: true, values }
    }

    /// Refuses where this `argument` is none of `values`.
    fn admit(argument: u32, values: &'static [u32]) -> Self {
        Self { argument, mask: u32::MAX, among: false, values }
    }

    /// Refuses where this bit of an argument is set.
    fn bit(argument: u32, bit: &'static [u32; 1]) -> Self {
        Self { argument, mask: bit[0], among: true, values: bit }
    }
}

/// The filter for a network reach, ready for the kernel.
pub(crate) fn filter(network: Network, level: Level) -> Result<BpfProgram, Error> {
    let unsupported =
        || Error::Unsupported(format!("no system call filter for {}", std::env::consts::ARCH));
    let arch = audit_arch().ok_or_else(unsupported)?;
    let pieces = pieces(&answers(network, level));
    let mut program = vec![
        load(ARCH),
        jump(libc::BPF_JEQ, arch, 1, 0),
        answer(libc::SECCOMP_RET_KILL_PROCESS),
        load(NUMBER),
    ];
    program.extend(search(&pieces)?);
    Ok(program)
}

/// The calls that are not simply allowed.
fn answers(network: Network, level: Level) -> BTreeMap<u32, Answer> {
    let mut answers = BTreeMap::new();
    let mut set = |calls: &[libc::c_long], answer: Answer| {
        let numbers = calls.iter().filter_map(|&call| call.try_into().ok());
        answers.extend(numbers.map(|number: u32| (number, answer.clone())));
    };
    let judged = |test| Answer::Judged(vec![test]);
    set(DENIED, Answer::Refused);
    set(ABSENT, Answer::Absent);
    set(UNSUPPORTED, Answer::Unsupported);
    const NEW_USER: &[u32; 1] = &[libc::CLONE_NEWUSER.cast_unsigned()];
    set(&[libc::SYS_clone, libc::SYS_unshare], judged(Test::bit(0, NEW_USER)));
    set(&[libc::SYS_ioctl], judged(Test::refuse(1, COMMANDS)));
    let sockets = [libc::SYS_socket, libc::SYS_socketpair];
    match network {
        Network::None => set(&sockets, judged(Test::admit(0, &[UNIX]))),
        // Others, such as those between a virtual machine and its host, know no network namespace.
        Network::Loopback | Network::Door => set(&sockets, judged(Test::admit(0, INTERNET))),
        Network::Full => {}
    }
    if level == Level::Landlock {
        set(SHARED, Answer::Refused);
        set(OWN_ONLY, judged(Test::admit(0, &[0])));
        set(DEPUTED, Answer::Deputed);
        set(OUTDATED, Answer::Absent);
        let [process, own] = [Test::admit(0, &[0]), Test::admit(1, &[0])];
        set(&[libc::SYS_setpriority], Answer::Judged(vec![process, own]));
        let process = Test::admit(0, &[1]);
        set(&[libc::SYS_ioprio_set], Answer::Judged(vec![process, own]));
        // Landlock stops nobody from connecting to a socket that has a name in the file system, and who answers there
        // may be the machine's service manager. A pair of datagram sockets can be sent elsewhere, one of streams cannot.
        match network {
            Network::None | Network::Loopback | Network::Door => {
                set(&[libc::SYS_socket], Answer::Refused);
            }
            Network::Full => set(&[libc::SYS_socket], judged(Test::refuse(0, &[UNIX]))),
        }
        const DATAGRAM: &[u32; 1] = &[libc::SOCK_DGRAM.cast_unsigned()];
        let pair = vec![Test::admit(0, &[UNIX]), Test::bit(1, DATAGRAM)];
        set(&[libc::SYS_socketpair], Answer::Judged(pair));
    }
    answers
}

/// The numbers at which the answer changes, from zero up.
fn pieces(answers: &BTreeMap<u32, Answer>) -> Vec<(u32, Answer)> {
    let mut pieces = BTreeMap::from([(0, Answer::Allowed)]);
    for (&call, answer) in answers {
        pieces.insert(call, answer.clone());
        pieces.entry(call + 1).or_insert(Answer::Allowed);
    }
    pieces.insert(UNKNOWN, Answer::Absent);
    let mut pieces: Vec<(u32, Answer)> = pieces.into_iter().collect();
    pieces.dedup_by(|next, before| next.1 == before.1);
    pieces
}

/// Instructions that answer the loaded number. Fails where a half is too long to jump over.
fn search(pieces: &[(u32, Answer)]) -> Result<Vec<sock_filter>, TryFromIntError> {
    if let [(_, answer)] = pieces {
        return answer.instructions();
    }
    let (low, high) = pieces.split_at(pieces.len() / 2);
    let first = high.first().map_or(0, |piece| piece.0);
    let (low, high) = (search(low)?, search(high)?);
    let to_high = jump(libc::BPF_JGE, first, u8::try_from(low.len())?, 0);
    Ok(std::iter::once(to_high).chain(low).chain(high).collect())
}

impl Answer {
    fn instructions(&self) -> Result<Vec<sock_filter>, TryFromIntError> {
        let error = |errno: i32| answer(libc::SECCOMP_RET_ERRNO | errno.cast_unsigned());
        Ok(match self {
            Self::Allowed => vec![answer(libc::SECCOMP_RET_ALLOW)],
            Self::Refused => vec![error(libc::EPERM)],
            Self::Absent => vec![error(libc::ENOSYS)],
            Self::Unsupported => vec![error(libc::EOPNOTSUPP)],
            Self::Deputed => vec![answer(libc::SECCOMP_RET_USER_NOTIF)],
            Self::Judged(tests) => {
                let mut program = Vec::new();
                for test in tests {
                    program.extend(test.instructions(error(libc::EPERM))?);
                }
                program.push(answer(libc::SECCOMP_RET_ALLOW));
                program
            }
        })
    }
}

impl Test {
    /// Goes on to what follows unless it refuses.
    fn instructions(&self, refusal: sock_filter) -> Result<Vec<sock_filter>, TryFromIntError> {
        let mut program = vec![
            load(ARGUMENTS + 8 * self.argument),
            instruction(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, self.mask),
        ];
        for (number, value) in self.values.iter().enumerate() {
            // Further comparisons lie in between, and the refusal itself where a value is to be admitted.
            let left = u8::try_from(self.values.len() - number - 1)?;
            program.push(match (self.among, left) {
                (true, 0) => jump(libc::BPF_JEQ, *value, 0, 1),
                (true, left) => jump(libc::BPF_JEQ, *value, left, 0),
                (false, left) => jump(libc::BPF_JEQ, *value, left + 1, 0),
            });
        }
        program.push(refusal);
        Ok(program)
    }
}

/// Offsets in `struct seccomp_data`: the call's number, the architecture, the first argument.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

/// This machine's mark in `struct seccomp_data`: `AUDIT_ARCH_*` in linux/audit.h. Only little-endian machines, of which
/// the low half of an argument comes first.
fn audit_arch() -> Option<u32> {
    const WIDE_LITTLE_ENDIAN: u32 = 0xC000_0000;
    let machine = match std::env::consts::ARCH {
        "x86_64" => libc::EM_X86_64,
        "aarch64" => libc::EM_AARCH64,
        _ => return None,
    };
    Some(WIDE_LITTLE_ENDIAN | u32::from(machine))
}

fn instruction(code: u32, k: u32) -> sock_filter {
    // All of `BPF_*` fit in a byte.
    sock_filter { code: u16::try_from(code).unwrap_or_default(), jt: 0, jf: 0, k }
}

fn load(offset: u32) -> sock_filter {
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset)
}

fn answer(value: u32) -> sock_filter {
    instruction(libc::BPF_RET | libc::BPF_K, value)
}

/// Skips `jt` instructions where the loaded value compares to `k` as asked, and `jf` where not.
fn jump(comparison: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { jt, jf, ..instruction(libc::BPF_JMP | comparison | libc::BPF_K, k) }
}

/// The program as the bytes of an array of `struct sock_filter`, which bubblewrap reads.
pub(crate) fn bytes(program: &BpfProgram) -> Vec<u8> {
    let instruction = |i: &sock_filter| {
        let ([a, b], [c, d, e, f]) = (i.code.to_ne_bytes(), i.k.to_ne_bytes());
        [a, b, i.jt, i.jf, c, d, e, f]
    };
    program.iter().flat_map(instruction).collect()
}

#[cfg(test)]
mod tests;
