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

/// The same rules, compiled by the library, but for the calls that are absent.
fn by_the_library(network: Network) -> BpfProgram {
    let rule = |answer| match answer {
        Answer::Refused => vec![],
        Answer::RefusedWhere { argument, mask, equal, value } => {
            let operator = match equal {
                true => SeccompCmpOp::MaskedEq(mask.into()),
                false => SeccompCmpOp::Ne,
            };
            let (argument, value) = (u8::try_from(argument).unwrap(), u64::from(value));
            let half = SeccompCmpArgLen::Dword;
            let condition = SeccompCondition::new(argument, half, operator, value).unwrap();
            vec![SeccompRule::new(vec![condition]).unwrap()]
        }
        Answer::Allowed | Answer::Absent => panic!("{answer:?} is no rule"),
    };
    let rules = answers(network).into_iter().filter(|(_, answer)| *answer != Answer::Absent);
    let rules = rules.map(|(call, answer)| (call.into(), rule(answer))).collect();
    let refuse = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let arch = std::env::consts::ARCH.try_into().unwrap();
    SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch).unwrap().try_into().unwrap()
}

#[test]
fn answers_as_the_library_does_and_what_is_absent_besides() {
    let arch = audit_arch().unwrap();
    let values = [0, 1, 2, 10, 16, 0x5411, 0x5412, 0x1000_0000, 0x1001_1200, u32::MAX];
    let absent = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned();
    for network in [Network::None, Network::Loopback, Network::Full] {
        let (ours, theirs) = (filter(network).unwrap(), by_the_library(network));
        let x32 = 0x4000_0000;
        for number in (0..2000).chain([x32 - 1, x32, x32 + 59, u32::MAX]) {
            let none = ABSENT.contains(&number.into()) || number >= UNKNOWN;
            for arguments in values.map(|value| [value, value ^ 1]) {
                let expected = match none {
                    true => absent,
                    false => run(&theirs, arch, number, arguments),
                };
                let got = run(&ours, arch, number, arguments);
                assert_eq!(got, expected, "{network:?}: call {number} {arguments:x?}");
            }
        }
    }
}

#[test]
fn some_calls_depend_on_an_argument() {
    let arch = audit_arch().unwrap();
    let refused = |network, call: libc::c_long, arguments| {
        let number = u32::try_from(call).unwrap();
        run(&filter(network).unwrap(), arch, number, arguments) != libc::SECCOMP_RET_ALLOW
    };
    let (inet, unix) = (libc::AF_INET.cast_unsigned(), libc::AF_UNIX.cast_unsigned());
    let user = (libc::CLONE_NEWUSER | libc::CLONE_FS).cast_unsigned();
    let threads = (libc::CLONE_VM | libc::CLONE_FS).cast_unsigned();
    let (inject, size) = (0x5412, 0x5413);
    assert!(refused(Network::None, libc::SYS_socket, [inet, unix]));
    assert!(!refused(Network::None, libc::SYS_socket, [unix, inet]));
    assert!(!refused(Network::Loopback, libc::SYS_socket, [inet, unix]));
    assert!(refused(Network::Full, libc::SYS_clone, [user, 0]));
    assert!(!refused(Network::Full, libc::SYS_clone, [threads, user]));
    assert!(refused(Network::Full, libc::SYS_ioctl, [0, inject]));
    assert!(!refused(Network::Full, libc::SYS_ioctl, [inject, size]));
}

#[test]
fn a_foreign_architecture_ends_the_program() {
    let i386 = 0x4000_0003;
    let filter = filter(Network::Full).unwrap();
    assert_eq!(run(&filter, i386, 1, [0; 2]), libc::SECCOMP_RET_KILL_PROCESS);
}

#[test]
fn any_call_is_answered_within_a_few_instructions() {
    let pieces = pieces(&answers(Network::None));
    let depth = pieces.len().next_power_of_two().ilog2();
    assert!(depth <= 6, "{} pieces", pieces.len());
    let program = filter(Network::None).unwrap();
    assert!(program.len() < 150, "{} instructions", program.len());
}
