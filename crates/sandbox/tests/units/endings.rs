//! Every way a unit can end is told from the others.

use std::time::Duration;

use empiric_sandbox::{Cgroup, Ending, Level};

use super::{Place, expect, levels, run};

#[test]
fn exit_codes_and_output() {
    for level in levels() {
        let report = run(&Place::new(level).script("echo out; echo err >&2; exit 7"));
        assert_eq!(report.ending, Ending::Exit(7), "{report:#?}");
        assert_eq!(
            (report.stdout.text().as_str(), report.stderr.text().as_str()),
            ("out\n", "err\n")
        );
        assert_eq!(report.level, level);
        assert!(report.usage.wall_seconds > 0.0 && report.usage.cpu_seconds > 0.0, "{report:#?}");
        assert!(report.usage.peak_memory_bytes > 100_000, "{report:#?}");
    }
}

#[test]
fn signals() {
    expect(&levels(), "kill -SEGV $$", &Ending::Signal(11));
    expect(&levels(), "kill -KILL $$", &Ending::Signal(9));
}

/// The helper's blocked signals were inherited, so that a pool of workers could not be terminated.
#[test]
fn a_program_can_end_its_own() {
    for level in levels() {
        for signal in ["TERM", "INT"] {
            let script = format!("sh -c 'kill -{signal} $$; echo survived'; true");
            let report = run(&Place::new(level).script(&script));
            assert_eq!(report.stdout.text(), "", "SIG{signal} at {level}");
        }
    }
}

#[test]
fn a_program_that_is_not_there() {
    for level in levels() {
        let report = run(&Place::new(level).argv(["no-such-program-here"]));
        let Ending::NotExecutable(why) = &report.ending else { panic!("{report:#?}") };
        assert!(why.starts_with("no-such-program-here: No such file"), "{why}");
    }
}

#[test]
fn a_set_up_that_fails_is_not_the_programs_fault() {
    for level in levels() {
        let place = Place::new(level);
        let mut unit = place.script("true");
        unit.policy.views[0].host = place.path("gone");
        unit.policy.cwd = level.path(&unit.policy.views[0]).into();
        let report = run(&unit);
        let Ending::Lost(why) = &report.ending else { panic!("{report:#?}") };
        assert!(why.contains("No such file"), "{why}");
    }
}

/// Some programs would train on the processor for a night, and nobody would know.
#[test]
fn a_gpu_that_is_not_there_is_not_the_programs_fault() {
    for level in levels() {
        let place = Place::new(level);
        let mut unit = place.script("true");
        unit.policy.gpus = vec![4_000_000];
        let Ending::Lost(why) = run(&unit).ending else { panic!("it ran at {level}") };
        assert!(why.contains("/dev/nvidia4000000"), "{why}");
    }
}

#[test]
fn a_program_cannot_blame_the_sandbox() {
    for said in ["bwrap: cannot do this", "bwrap: execvp"] {
        expect(&levels(), &format!("echo '{said}' >&2; exit 1"), &Ending::Exit(1));
    }
}

#[test]
fn wall_limit_however_stubborn() {
    for script in
        ["sleep infinity", "trap '' TERM INT HUP; while :; do sleep 1; done", "kill -STOP $$"]
    {
        for level in levels() {
            let place = Place::new(level);
            let mut unit = place.script(script);
            unit.policy.limits.wall = Duration::from_millis(300);
            let report = run(&unit);
            assert_eq!(report.ending, Ending::WallLimit, "{script:?}: {report:#?}");
            assert!((0.3..5.0).contains(&report.usage.wall_seconds), "{report:#?}");
        }
    }
}

#[test]
fn cpu_limit_counts_the_whole_tree() {
    for level in levels() {
        let place = Place::new(level);
        let mut unit = place.script("for i in 1 2 3; do (while :; do :; done) & done; wait");
        unit.policy.limits.cpu = Some(Duration::from_millis(300));
        let report = run(&unit);
        assert_eq!(report.ending, Ending::CpuLimit, "{report:#?}");
        assert!((0.3..3.0).contains(&report.usage.cpu_seconds), "{report:#?}");
    }
}

#[test]
fn output_flood_in_bounded_memory() {
    for level in levels() {
        let report = run(&Place::new(level).script("yes | tr -d '\\n'"));
        assert_eq!(report.ending, Ending::OutputFlood, "{level}");
        let out = &report.stdout;
        assert!((64 << 20..66 << 20).contains(&out.total_bytes), "{}", out.total_bytes);
        assert_eq!((out.head.len(), out.tail.len()), (64 << 10, 64 << 10));
    }
}

#[test]
fn head_and_tail_are_kept() {
    for level in levels() {
        let place = Place::new(level);
        let mut unit = place.script("seq 1 100000");
        unit.policy.limits.kept = 100;
        let report = run(&unit);
        assert!(report.stdout.head.starts_with("1\n2\n3\n"), "{report:#?}");
        assert!(report.stdout.tail.ends_with("99999\n100000\n"), "{report:#?}");
        assert_eq!(report.stdout.dropped_bytes, report.stdout.total_bytes - 200);
    }
}

/// With the machine's control group, and with none.
fn each_cgroup(mut check: impl FnMut(Level, Cgroup)) {
    for level in levels() {
        check(level, super::FOUND.cgroup.clone());
        check(level, Cgroup::Watchdog);
    }
}

#[test]
fn out_of_memory() {
    each_cgroup(|level, cgroup| {
        let place = Place::new(level);
        let mut unit = place.argv(["tail", "/dev/zero"]);
        unit.cgroup = cgroup;
        unit.policy.limits.memory = Some(64 << 20);
        let report = run(&unit);
        assert_eq!(report.ending, Ending::OutOfMemory, "{report:#?}");
        assert!(report.usage.peak_memory_bytes > 48 << 20, "{report:#?}");
    });
}

#[test]
fn process_limit() {
    each_cgroup(|level, cgroup| {
        let place = Place::new(level);
        let mut unit = place.argv(["dash", "-c", "for i in $(seq 40); do sleep 20 & done; wait"]);
        unit.cgroup = cgroup;
        unit.policy.limits.processes = Some(10);
        let report = run(&unit);
        assert_eq!(report.ending, Ending::ProcessLimit, "{report:#?}");
    });
}

#[test]
fn disk_limit_on_one_file_and_on_all() {
    for level in levels() {
        for script in [
            "head -c 3M /dev/zero > a",
            "for i in {1..9}; do head -c 500K /dev/zero > $i; done; sync",
        ] {
            let place = Place::new(level);
            let mut unit = place.script(script);
            unit.policy.limits.disk = Some(2 << 20);
            let report = run(&unit);
            let refused =
                report.ending == Ending::Exit(1) && report.stderr.text().contains("File too large");
            assert!(report.ending == Ending::DiskLimit || refused, "{script:?}: {report:#?}");
        }
    }
}

#[test]
fn output_that_is_no_text_arrives_as_text() {
    let report = run(&Place::new(Level::None).script("echo $'\\xff\\e[31m'; exit 3"));
    assert_eq!(report.ending, Ending::Exit(3), "{report:#?}");
    assert_eq!(report.stdout.text(), "\u{fffd}\u{1b}[31m\n");
}
