//! Nothing of a unit survives it, whoever dies first; and two units can talk.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use empiric_sandbox::{
    Cgroup, Ending, Level, PIPE_READ, PIPE_WRITE, Pipes, Report, Unit, Zygote, answered, pipe_pair,
    reap_orphans,
};
use rustix::process::{Pid, Signal, kill_process};

use super::{Place, ZYGOTE, anyone, exists, levels, run, soon};

/// Starts a unit without waiting for it; it lives as long as the connection.
fn start(unit: &Unit, pipes: Option<Pipes>) -> UnixStream {
    let mut launch = ZYGOTE.launch(unit, pipes).unwrap();
    launch.connection.write_all(&launch.request).unwrap();
    launch.connection
}

/// All that the helper says until it ends.
fn answer(mut connection: UnixStream) -> Result<Report, empiric_sandbox::Error> {
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).unwrap();
    answered(&answer)
}

fn helper_of(unit: &Unit) -> Pid {
    let record = std::fs::read(&unit.record).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
    Pid::from_raw(record["helper"]["pid"].as_i64().unwrap().try_into().unwrap()).unwrap()
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
fn start_marked(place: &Place, mark: &str) -> (Unit, UnixStream) {
    let unit = place.script(&format!("{} touch ready; sleep {mark}", daemon(mark)));
    let connection = start(&unit, None);
    soon("the unit's start", || exists(&place.path("work/ready")) && anyone(mark));
    (unit, connection)
}

#[test]
fn closing_half_of_the_connection_cancels() {
    for level in levels() {
        let (place, mark) = (Place::new(level), mark(3, level));
        let (_, connection) = start_marked(&place, &mark);
        connection.shutdown(Shutdown::Write).unwrap();
        assert_eq!(answer(connection).unwrap().ending, Ending::Cancelled);
        assert!(!anyone(&mark));
    }
}

#[test]
fn losing_the_connection_cancels() {
    for level in levels() {
        let (place, mark) = (Place::new(level), mark(8, level));
        let (unit, connection) = start_marked(&place, &mark);
        drop(connection);
        soon("the end of the unit", || {
            !anyone(&mark) && std::fs::read(&unit.record).unwrap() == b"{"
        });
    }
}

#[test]
fn a_termination_signal_cancels() {
    for level in levels() {
        let (place, mark) = (Place::new(level), mark(4, level));
        let (unit, connection) = start_marked(&place, &mark);
        kill_process(helper_of(&unit), Signal::TERM).unwrap();
        assert_eq!(answer(connection).unwrap().ending, Ending::Cancelled);
        assert!(!anyone(&mark));
    }
}

#[test]
fn a_killed_helper_leaves_nothing_that_stays() {
    for level in levels() {
        let (place, mark) = (Place::new(level), mark(5, level));
        let (unit, connection) = start_marked(&place, &mark);
        kill_process(helper_of(&unit), Signal::KILL).unwrap();
        let error = answer(connection).unwrap_err();
        assert_eq!(error.to_string(), "the unit's helper left no report: it was killed");
        if level == Level::Bwrap {
            soon("the end of the unit's processes", || !anyone(&mark));
        }
        reap_orphans(&unit.record).unwrap();
        soon("the end of the unit's processes", || !anyone(&mark));
        let left = std::fs::read_dir(place.dir.path()).unwrap().count();
        assert_eq!(left, 3, "only the work, the secret and the record should be there");
        reap_orphans(&unit.record).unwrap();
    }
}

/// What forks and ends all the time is seldom there when it is looked for.
#[test]
fn what_forks_without_end_is_reaped_without_a_control_group_too() {
    for level in levels() {
        let (place, mark) = (Place::new(level), mark(9, level));
        let hops = format!(
            "hop() {{ hop & }}; for i in 1 2 3 4 5 6 7 8; do hop & done; : > ready; sleep {mark}"
        );
        let mut unit = place.script(&hops);
        unit.cgroup = Cgroup::Watchdog;
        let connection = start(&unit, None);
        soon("the unit's start", || exists(&place.path("work/ready")));
        kill_process(helper_of(&unit), Signal::KILL).unwrap();
        answer(connection).unwrap_err();
        reap_orphans(&unit.record).unwrap();
        // One look may miss them.
        for _ in 0..50 {
            assert!(!anyone(&mark), "{level:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

#[test]
fn a_live_unit_of_a_dead_harness_can_be_reaped() {
    for level in levels() {
        let (place, mark) = (Place::new(level), mark(6, level));
        let (unit, connection) = start_marked(&place, &mark);
        reap_orphans(&unit.record).unwrap();
        soon("the end of the unit's processes", || !anyone(&mark));
        assert_eq!(answer(connection).unwrap().ending, Ending::Cancelled);
    }
}

#[test]
fn a_killed_zygote_takes_no_unit_with_it_and_is_replaced() {
    let zygote = Zygote::new(super::program());
    let place = Place::new(Level::None);
    let unit = place.script("touch ready; read -r line < pipe; echo \"$line\"");
    let made = std::process::Command::new("mkfifo").arg(place.path("work/pipe")).status().unwrap();
    assert!(made.success());
    let mut launch = zygote.launch(&unit, None).unwrap();
    launch.connection.write_all(&launch.request).unwrap();
    soon("the unit's start", || exists(&place.path("work/ready")));
    let first = zygote.id().unwrap();
    kill_process(Pid::from_raw(first.try_into().unwrap()).unwrap(), Signal::KILL).unwrap();
    let elsewhere = Place::new(Level::None);
    let other = elsewhere.script("true");
    let again = || zygote.launch(&other, None).unwrap().run();
    // The first may still have gone to the dying one.
    soon("another zygote", || again().is_ok());
    assert_ne!(zygote.id().unwrap(), first);
    std::fs::write(place.path("work/pipe"), "still here\n").unwrap();
    assert_eq!(answer(launch.connection).unwrap().stdout.text(), "still here\n");
}

#[test]
fn two_units_talk_over_a_pipe() {
    for level in levels() {
        let (left, right) = (Place::new(level), Place::new(level));
        let (left_pipes, right_pipes) = pipe_pair().unwrap();
        // The right one answers until its peer closes; the left one asks, closes, and waits for the end.
        let answer_unit = right.script(&format!(
            "while read -r line <&{PIPE_READ}; do echo \"<$line>\" >&{PIPE_WRITE}; done; echo closed; ls /proc/self/fd"
        ));
        let ask = left.script(&format!(
            "echo one >&{PIPE_WRITE}; read -r a <&{PIPE_READ}; echo two >&{PIPE_WRITE}; read -r b <&{PIPE_READ}
             exec {PIPE_WRITE}>&-; read -r c <&{PIPE_READ} || echo \"$a $b end\""
        ));
        let answering = start(&answer_unit, Some(right_pipes));
        let asking = start(&ask, Some(left_pipes));
        let [asked, answered] = [asking, answering].map(|unit| answer(unit).unwrap());
        assert_eq!(asked.stdout.text(), "<one> <two> end\n", "{level}: {asked:#?} {answered:#?}");
        assert_eq!(answered.stdout.text(), "closed\n0\n1\n2\n3\n4\n5\n", "{level}: {answered:#?}");
        assert_eq!(asked.stderr.text(), "");
    }
}
