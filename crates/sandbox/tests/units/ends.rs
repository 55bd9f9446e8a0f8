//! Nothing of a unit survives it, whoever dies first; and two units can talk.

use std::io::Write;
use std::process::Child;
use std::time::Duration;

use empiric_sandbox::{
    Cgroup, Ending, Launch, Level, PIPE_READ, PIPE_WRITE, Report, Unit, pipe_pair, reap_orphans,
};
use rustix::process::{Pid, Signal, kill_process};

use super::{Place, anyone, exists, helper, levels, run, soon};

/// Starts a unit without waiting for it; its standard input stays open in the child.
fn start(launch: Launch) -> Child {
    let Launch { mut command, request, .. } = launch;
    let mut child = command.spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(&request).unwrap();
    child
}

/// A sleep that no other process of this machine would make, as a word to look for.
fn mark(test: u32, level: Level) -> String {
    format!("{}.{test}{}", 10_000 + std::process::id(), level as u8)
}

/// A daemon the old way: forked twice, in a session of its own, deaf to signals, with its output elsewhere.
fn daemon(mark: &str) -> String {
    format!("(trap '' TERM HUP; setsid sleep {mark} </dev/null >/dev/null 2>&1 &) ; ")
}

#[test]
fn daemons_end_with_their_unit() {
    for level in levels() {
        let mark = mark(1, level);
        let report = run(&Place::new(level).script(&format!("{} sleep 0.1", daemon(&mark))));
        assert_eq!(report.ending, Ending::Exit(0), "{report:#?}");
        assert!(!anyone(&mark), "a daemon outlived its unit at {level}");
    }
}

#[test]
fn daemons_end_with_a_unit_that_has_to_be_ended() {
    for level in levels() {
        let mark = mark(2, level);
        let place = Place::new(level);
        let mut unit = place.script(&format!("{} sleep {mark}", daemon(&mark)));
        unit.policy.limits.wall = Duration::from_millis(300);
        assert_eq!(run(&unit).ending, Ending::WallLimit);
        assert!(!anyone(&mark), "a daemon outlived its unit at {level}");
    }
}

#[test]
fn fork_bombs_end() {
    if super::FOUND.cgroup == Cgroup::Watchdog {
        eprintln!("SKIPPED: without a control group this test could outgrow the machine");
        return;
    }
    for level in levels() {
        let mark = mark(7, level);
        let place = Place::new(level);
        let mut unit =
            place.script(&format!("sleep {mark} & bomb() {{ bomb | bomb & }}; bomb; wait"));
        unit.policy.limits.processes = Some(30);
        unit.policy.limits.wall = Duration::from_millis(500);
        let report = run(&unit);
        assert!(matches!(report.ending, Ending::WallLimit | Ending::ProcessLimit), "{report:#?}");
        assert!(report.usage.refused_forks > 0, "{report:#?}");
        assert!(!anyone(&mark));
    }
}

/// Starts a unit with a daemon and waits until both run.
fn start_marked(place: &Place, mark: &str) -> (Unit, Child) {
    let unit = place.script(&format!("{} touch ready; sleep {mark}", daemon(mark)));
    let child = start(unit.launch(&helper(), None).unwrap());
    soon("the unit's start", || exists(&place.path("work/ready")) && anyone(mark));
    (unit, child)
}

#[test]
fn closing_the_input_cancels() {
    for level in levels() {
        let (place, mark) = (Place::new(level), mark(3, level));
        let (unit, mut child) = start_marked(&place, &mark);
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
        assert!(!anyone(&mark));
        assert_eq!(Report::read(&unit.report).unwrap().unwrap().ending, Ending::Cancelled);
    }
}

#[test]
fn a_termination_signal_cancels() {
    for level in levels() {
        let (place, mark) = (Place::new(level), mark(4, level));
        let (unit, mut child) = start_marked(&place, &mark);
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        // Waiting for a child closes its input; this one has to end by the signal.
        let input = child.stdin.take();
        child.wait().unwrap();
        drop(input);
        assert!(!anyone(&mark));
        assert_eq!(Report::read(&unit.report).unwrap().unwrap().ending, Ending::Cancelled);
    }
}

#[test]
fn a_killed_helper_leaves_nothing_that_stays() {
    for level in levels() {
        let (place, mark) = (Place::new(level), mark(5, level));
        let (unit, mut child) = start_marked(&place, &mark);
        child.kill().unwrap();
        child.wait().unwrap();
        if level == Level::Bwrap {
            soon("the end of the unit's processes", || !anyone(&mark));
        }
        reap_orphans(&unit.report).unwrap();
        soon("the end of the unit's processes", || !anyone(&mark));
        assert_eq!(Report::read(&unit.report).unwrap(), None);
        let left = std::fs::read_dir(place.dir.path()).unwrap().count();
        assert_eq!(left, 2, "only the work and the secret should be there");
        reap_orphans(&unit.report).unwrap();
    }
}

#[test]
fn a_live_unit_of_a_dead_harness_can_be_reaped() {
    for level in levels() {
        let (place, mark) = (Place::new(level), mark(6, level));
        let (unit, mut child) = start_marked(&place, &mark);
        reap_orphans(&unit.report).unwrap();
        soon("the end of the unit's processes", || !anyone(&mark));
        child.wait().unwrap();
    }
}

#[test]
fn two_units_talk_over_a_pipe() {
    for level in levels() {
        let (left, right) = (Place::new(level), Place::new(level));
        let (left_pipes, right_pipes) = pipe_pair().unwrap();
        // The right one answers until its peer closes; the left one asks, closes, and waits for the end.
        let answer = right.script(&format!(
            "while read -r line <&{PIPE_READ}; do echo \"<$line>\" >&{PIPE_WRITE}; done; echo closed; ls /proc/self/fd"
        ));
        let ask = left.script(&format!(
            "echo one >&{PIPE_WRITE}; read -r a <&{PIPE_READ}; echo two >&{PIPE_WRITE}; read -r b <&{PIPE_READ}
             exec {PIPE_WRITE}>&-; read -r c <&{PIPE_READ} || echo \"$a $b end\""
        ));
        let mut children = [
            start(answer.launch(&helper(), Some(right_pipes)).unwrap()),
            start(ask.launch(&helper(), Some(left_pipes)).unwrap()),
        ];
        for child in &mut children {
            let input = child.stdin.take();
            child.wait().unwrap();
            drop(input);
        }
        let [asked, answered] =
            [&ask, &answer].map(|unit| Report::read(&unit.report).unwrap().unwrap());
        assert_eq!(asked.stdout.text(), "<one> <two> end\n", "{level}: {asked:#?} {answered:#?}");
        assert_eq!(answered.stdout.text(), "closed\n0\n1\n2\n3\n4\n5\n", "{level}: {answered:#?}");
        assert_eq!(asked.stderr.text(), "");
    }
}
