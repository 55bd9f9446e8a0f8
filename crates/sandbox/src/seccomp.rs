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
use crate::policy::Network;

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
    // Extended attributes are bytes of a file that no size counts.
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Allowed,
    /// "Operation not permitted".
    Refused,
    /// "No such system call".
    Absent,
    /// Refused where the masked low half of an argument equals `value`, or where it does not; else allowed. The kernel
    /// reads no more than that half of the arguments in question.
    RefusedWhere {
        argument: u32,
        mask: u32,
        equal: bool,
        value: u32,
    },
}

/// The filter for a network reach, ready for the kernel.
pub(crate) fn filter(network: Network) -> Result<BpfProgram, Error> {
    let unsupported =
        || Error::Unsupported(format!("no system call filter for {}", std::env::consts::ARCH));
    let arch = audit_arch().ok_or_else(unsupported)?;
    let pieces = pieces(&answers(network));
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
fn answers(network: Network) -> BTreeMap<u32, Answer> {
    let mut answers = BTreeMap::new();
    let mut set = |calls: &[libc::c_long], answer| {
        answers.extend(calls.iter().filter_map(|&call| Some((call.try_into().ok()?, answer))));
    };
    set(DENIED, Answer::Refused);
    set(ABSENT, Answer::Absent);
    let new_user = libc::CLONE_NEWUSER.cast_unsigned();
    let namespace =
        Answer::RefusedWhere { argument: 0, mask: new_user, equal: true, value: new_user };
    set(&[libc::SYS_clone, libc::SYS_unshare], namespace);
    let inject = u32::try_from(libc::TIOCSTI).unwrap_or(u32::MAX);
    let typing = Answer::RefusedWhere { argument: 1, mask: u32::MAX, equal: true, value: inject };
    set(&[libc::SYS_ioctl], typing);
    if network == Network::None {
        let local = libc::AF_UNIX.cast_unsigned();
        let remote =
            Answer::RefusedWhere { argument: 0, mask: u32::MAX, equal: false, value: local };
        set(&[libc::SYS_socket, libc::SYS_socketpair], remote);
    }
    answers
}

/// The numbers at which the answer changes, from zero up.
fn pieces(answers: &BTreeMap<u32, Answer>) -> Vec<(u32, Answer)> {
    let mut pieces = BTreeMap::from([(0, Answer::Allowed)]);
    for (&call, &answer) in answers {
        pieces.insert(call, answer);
        pieces.insert(call + 1, Answer::Allowed);
    }
    pieces.insert(UNKNOWN, Answer::Absent);
    let mut pieces: Vec<(u32, Answer)> = pieces.into_iter().collect();
    pieces.dedup_by_key(|(_, answer)| *answer);
    pieces
}

/// Instructions that answer the loaded number. Fails where a half is too long to jump over.
fn search(pieces: &[(u32, Answer)]) -> Result<Vec<sock_filter>, TryFromIntError> {
    if let [(_, answer)] = pieces {
        return Ok(answer.instructions());
    }
    let (low, high) = pieces.split_at(pieces.len() / 2);
    let first = high.first().map_or(0, |piece| piece.0);
    let (low, high) = (search(low)?, search(high)?);
    let to_high = jump(libc::BPF_JGE, first, u8::try_from(low.len())?, 0);
    Ok(std::iter::once(to_high).chain(low).chain(high).collect())
}

impl Answer {
    fn instructions(self) -> Vec<sock_filter> {
        let refused = libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned();
        let absent = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned();
        match self {
            Self::Allowed => vec![answer(libc::SECCOMP_RET_ALLOW)],
            Self::Refused => vec![answer(refused)],
            Self::Absent => vec![answer(absent)],
            Self::RefusedWhere { argument, mask, equal, value } => vec![
                load(ARGUMENTS + 8 * argument),
                instruction(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, mask),
                jump(libc::BPF_JEQ, value, u8::from(!equal), u8::from(equal)),
                answer(refused),
                answer(libc::SECCOMP_RET_ALLOW),
            ],
        }
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
