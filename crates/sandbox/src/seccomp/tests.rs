use seccompiler::{
    SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use super::*;

/// What a program answers to a call: the kernel's interpreter, of as much as filters are made of.
fn run(program: &[sock_filter], arch: u32, number: u32, arguments: [u32; 2]) -> u32 {
    let (mut at, mut loaded) = (0, 0);
    loop {
        let sock_filter { code, jt, jf, k } = program[at];
        at += 1;
        let jump = |holds: bool| usize::from(if holds { jt } else { jf });
        match code {
            0x20 => {
                loaded = match k {
                    0 => number,
                    4 => arch,
                    16 => arguments[0],
                    24 => arguments[1],
                    _ => 0,
                }
            }
            0x54 => loaded &= k,
            0x05 => at += k as usize,
            0x15 => at += jump(loaded == k),
            0x25 => at += jump(loaded > k),
            0x35 => at += jump(loaded >= k),
            0x06 => return k,
            _ => panic!("instruction {code:#x}"),
        }
    }
}

/// The same rules, compiled by the library, but for the calls that are absent or left to the helper.
fn by_the_library(network: Network, level: Level) -> BpfProgram {
    let half = SeccompCmpArgLen::Dword;
    let condition = |test: &Test, operator: fn(u64) -> SeccompCmpOp, value: u32| {
        let argument = u8::try_from(test.argument).unwrap();
        SeccompCondition::new(argument, half.clone(), operator(test.mask.into()), value.into())
            .unwrap()
    };
    let rules = |test: &Test| -> Vec<SeccompRule> {
        let conditions: Vec<SeccompCondition> = test
            .values
            .iter()
            .map(|value| match test.among {
                true => condition(test, SeccompCmpOp::MaskedEq, *value),
                false => condition(test, |_| SeccompCmpOp::Ne, *value),
            })
            .collect();
        if test.among {
            conditions.into_iter().map(|one| SeccompRule::new(vec![one]).unwrap()).collect()
        } else {
            vec![SeccompRule::new(conditions).unwrap()]
        }
    };
    let rule = |answer| match answer {
        Answer::Refused => vec![],
        Answer::Judged(tests) => tests.iter().flat_map(rules).collect(),
        Answer::Allowed | Answer::Absent | Answer::Unsupported | Answer::Deputed => {
            panic!("{answer:?} is no rule")
        }
    };
    let known = |answer: &Answer| matches!(answer, Answer::Refused | Answer::Judged(_));
    let refusals = answers(network, level).into_iter().filter(|(_, answer)| known(answer));
    let refusals = refusals.map(|(call, answer)| (call.into(), rule(answer))).collect();
    let refuse = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let arch = std::env::consts::ARCH.try_into().unwrap();
    SeccompFilter::new(refusals, SeccompAction::Allow, refuse, arch).unwrap().try_into().unwrap()
}

#[test]
fn answers_as_the_library_does_and_what_it_has_no_word_for_besides() {
    let arch = audit_arch().unwrap();
    let values = [0, 1, 2, 3, 5, 10, 16, 40, 0x5411, 0x5412, 0x541C, 0x1000_0000, 0x1001_1200];
    let flags = [FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR, u32::MAX];
    let values: Vec<u32> = values.into_iter().chain(flags).collect();
    let absent = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned();
    let unsupported = libc::SECCOMP_RET_ERRNO | libc::EOPNOTSUPP.cast_unsigned();
    for (network, level) in [
        (Network::None, Level::Bwrap),
        (Network::Loopback, Level::Bwrap),
        (Network::Full, Level::Bwrap),
        (Network::None, Level::Landlock),
        (Network::Full, Level::Landlock),
    ] {
        let (ours, theirs) = (filter(network, level).unwrap(), by_the_library(network, level));
        let x32 = 0x4000_0000;
        for number in (0..500).chain([x32 - 1, x32, x32 + 59, u32::MAX]) {
            let known = answers(network, level).get(&number).cloned();
            for first in &values {
                for second in &values {
                    let arguments = [*first, *second];
                    let expected = match known {
                        Some(Answer::Deputed) => libc::SECCOMP_RET_USER_NOTIF,
                        Some(Answer::Absent) => absent,
                        Some(Answer::Unsupported) => unsupported,
                        _ if number >= UNKNOWN => absent,
                        _ => run(&theirs, arch, number, arguments),
                    };
                    let got = run(&ours, arch, number, arguments);
                    assert_eq!(got, expected, "{network:?}: call {number} {arguments:x?}");
                }
            }
        }
    }
}

#[test]
fn some_calls_depend_on_an_argument() {
    let arch = audit_arch().unwrap();
    let refused = |network, level, call: libc::c_long, arguments| {
        let number = u32::try_from(call).unwrap();
        run(&filter(network, level).unwrap(), arch, number, arguments) != libc::SECCOMP_RET_ALLOW
    };
    let (bwrap, landlock) = (Level::Bwrap, Level::Landlock);
    let (inet, unix) = (libc::AF_INET.cast_unsigned(), libc::AF_UNIX.cast_unsigned());
    let vsock = libc::AF_VSOCK.cast_unsigned();
    let user = (libc::CLONE_NEWUSER | libc::CLONE_FS).cast_unsigned();
    let threads = (libc::CLONE_VM | libc::CLONE_FS).cast_unsigned();
    let (inject, size) = (0x5412, 0x5413);
    assert!(refused(Network::None, bwrap, libc::SYS_socket, [inet, unix]));
    assert!(!refused(Network::None, bwrap, libc::SYS_socket, [unix, inet]));
    assert!(!refused(Network::Loopback, bwrap, libc::SYS_socket, [inet, unix]));
    assert!(refused(Network::Loopback, bwrap, libc::SYS_socket, [vsock, 1]));
    assert!(!refused(Network::Full, bwrap, libc::SYS_socket, [vsock, 1]));
    assert!(refused(Network::Full, bwrap, libc::SYS_clone, [user, 0]));
    assert!(!refused(Network::Full, bwrap, libc::SYS_clone, [threads, user]));
    assert!(refused(Network::Full, bwrap, libc::SYS_ioctl, [0, inject]));
    assert!(refused(Network::Full, bwrap, libc::SYS_ioctl, [0, FS_IOC_SETFLAGS]));
    assert!(!refused(Network::Full, bwrap, libc::SYS_ioctl, [inject, size]));
    let (stream, datagram) = (1 | libc::SOCK_CLOEXEC.cast_unsigned(), 2);
    assert!(refused(Network::None, landlock, libc::SYS_socket, [unix, stream]));
    assert!(refused(Network::Full, landlock, libc::SYS_socket, [unix, stream]));
    assert!(!refused(Network::Full, landlock, libc::SYS_socket, [inet, stream]));
    assert!(!refused(Network::None, landlock, libc::SYS_socketpair, [unix, stream]));
    assert!(refused(Network::None, landlock, libc::SYS_socketpair, [unix, datagram]));
    assert!(refused(Network::None, landlock, libc::SYS_prlimit64, [1, 0]));
    assert!(!refused(Network::None, landlock, libc::SYS_prlimit64, [0, 7]));
    assert!(!refused(Network::None, bwrap, libc::SYS_shmget, [0, 0]));
    assert!(refused(Network::None, landlock, libc::SYS_shmget, [0, 0]));
}

#[test]
fn a_foreign_architecture_ends_the_program() {
    let i386 = 0x4000_0003;
    let filter = filter(Network::Full, Level::Bwrap).unwrap();
    assert_eq!(run(&filter, i386, 1, [0; 2]), libc::SECCOMP_RET_KILL_PROCESS);
}

#[test]
fn any_call_is_answered_within_a_few_instructions() {
    for (level, longest) in [(Level::Bwrap, 200), (Level::Landlock, 300)] {
        let pieces = pieces(&answers(Network::None, level));
        let depth = pieces.len().next_power_of_two().ilog2();
        assert!(depth <= 7, "{} pieces", pieces.len());
        let program = filter(Network::None, level).unwrap();
        assert!(program.len() < longest, "{} instructions", program.len());
    }
}
