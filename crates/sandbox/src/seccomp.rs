//! The system call filter of both sandbox levels: a deny list of what no recipe needs and what widens the kernel's
//! attack surface or steps around the views.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};

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
];

/// Answered as if the kernel did not have them, because programs then fall back: `clone3`, whose flags a filter
/// cannot read, and io_uring, which would open sockets past the filter.
const ABSENT: &[libc::c_long] = &[
    libc::SYS_clone3,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

/// First number of the x32 calls, which share x86_64's architecture mark and would slip past a list of numbers.
const X32: u32 = 0x4000_0000;

/// The filter for a network reach, ready for the kernel.
pub(crate) fn filter(network: Network) -> Result<BpfProgram, Error> {
    let arch: TargetArch = std::env::consts::ARCH.try_into()?;
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        DENIED.iter().map(|&call| (call, Vec::new())).collect();
    let new_user = u64::from(libc::CLONE_NEWUSER.cast_unsigned());
    for call in [libc::SYS_clone, libc::SYS_unshare] {
        rules.insert(call, vec![when(0, SeccompCmpOp::MaskedEq(new_user), new_user)?]);
    }
    let inject = u64::from(libc::TIOCSTI.try_into().unwrap_or(u32::MAX));
    rules.insert(libc::SYS_ioctl, vec![when(1, SeccompCmpOp::Eq, inject)?]);
    if network == Network::None {
        let local = u64::from(libc::AF_UNIX.cast_unsigned());
        for call in [libc::SYS_socket, libc::SYS_socketpair] {
            rules.insert(call, vec![when(0, SeccompCmpOp::Ne, local)?]);
        }
    }
    let refuse = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let denied: BpfProgram =
        SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch)?.try_into()?;
    Ok(absent().chain(denied).collect())
}

fn when(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompRule, Error> {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)?;
    Ok(SeccompRule::new(vec![condition])?)
}

/// Instructions in front of the compiled filter: the library gives a filter one answer, and this list needs another.
/// Numbers of foreign architectures fall through, and the filter that follows ends such a program.
fn absent() -> impl Iterator<Item = sock_filter> {
    let code = |bits: u32| u16::try_from(bits).unwrap_or_default();
    let load = code(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS);
    let (equal, at_least) = (
        code(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K),
        code(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K),
    );
    let answer = code(libc::BPF_RET | libc::BPF_K);
    let no_such_call = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned();
    let tests = ABSENT.iter().map(move |&call| (equal, u32::try_from(call).unwrap_or(u32::MAX)));
    let x32 = cfg!(target_arch = "x86_64").then_some((at_least, X32));
    let pairs = tests.chain(x32).flat_map(move |(code, k)| {
        [
            sock_filter { code, jt: 0, jf: 1, k },
            sock_filter { code: answer, jt: 0, jf: 0, k: no_such_call },
        ]
    });
    // Offset 0 of `struct seccomp_data` is the call's number.
    std::iter::once(sock_filter { code: load, jt: 0, jf: 0, k: 0 }).chain(pairs)
}

/// The program as the bytes of an array of `struct sock_filter`, which bubblewrap reads.
pub(crate) fn bytes(program: &BpfProgram) -> Vec<u8> {
    let instruction = |i: &sock_filter| {
        let ([a, b], [c, d, e, f]) = (i.code.to_ne_bytes(), i.k.to_ne_bytes());
        [a, b, i.jt, i.jf, c, d, e, f]
    };
    program.iter().flat_map(instruction).collect()
}
