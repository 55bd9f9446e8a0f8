//! The helper: one process per unit, forked from the zygote, from the request on its connection to the report.

use std::ffi::OsString;
use std::io::{PipeReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeValLike;
use rustix::net::SendFlags;
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit};

use crate::bwrap::{self, Handed};
use crate::capture::Capture;
use crate::cgroup::{Cgroup, Leaf};
use crate::confine::Confinement;
use crate::deputy::Deputy;
use crate::descriptors::{self, ENTRY_FAILED, Entry};
use crate::identity::{self, Identity};
use crate::launch::{PIPE_READ, PIPE_WRITE, Unit};
use crate::policy::{Level, Limits, Network};
use crate::report::{Captured, Ending, Report, Usage};
use crate::watch::{Stop, Watch};
use crate::zygote::{self, Unborn};
use crate::{Error, clear, door, seccomp, tree};

/// The whole life of the zygote, and of every helper it forks. Call it first thing in `main`, before any thread is
/// started and any file is opened. The exit code only says whether all went well; a failure is described on standard
/// error, or to the harness by a helper, whose connection is its standard input.
///
/// `words` are the program's arguments after `__unit`.
pub fn unit_main(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let asked = words.into_iter().any(|word| word == zygote::APART);
    let served = if asked { zygote::leave_network() } else { Ok(false) }
        .and_then(|apart| Ok(zygote::serve()?.map(|unborn| (unborn, apart))));
    let ended = match served {
        Ok(None) => return ExitCode::SUCCESS,
        Ok(Some((unborn, apart))) => live(unborn, apart).and_then(|report| {
            serde_json::to_vec(&report)
                .map_err(|source| Error::Record { path: "the unit's report".into(), source })
        }),
        Err(error) => {
            writeln!(std::io::stderr(), "unit: failed to {}", error.chain()).ok();
            return ExitCode::FAILURE;
        }
    };
    let said = ended.unwrap_or_else(|error| format!("failed to {}", error.chain()).into_bytes());
    // Nobody may be listening, and there is nothing left to do about it.
    match answer(&said) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Says everything on the connection.
fn answer(mut said: &[u8]) -> rustix::io::Result<()> {
    while !said.is_empty() {
        let sent = rustix::net::send(rustix::stdio::stdin(), said, SendFlags::NOSIGNAL)?;
        said = &said[sent..];
    }
    Ok(())
}

/// The whole life of a helper, `apart` from the machine's network or not.
fn live(unborn: Unborn, apart: bool) -> Result<Report, Error> {
    let settled = || Error::io("settle the helper's descriptors");
    rustix::process::setpgid(None, None).map_err(|errno| settled()(errno.into()))?;
    let pipes = descriptors::settle(unborn).map_err(settled())?;
    let _held = descriptors::seal().map_err(settled())?;
    let unit = read_unit()?;
    let identity = Identity::own(&unit.cgroup)?;
    identity.write(&unit.record)?;
    let given =
        pipes.map(|[read, write]| vec![(read, PIPE_READ), (write, PIPE_WRITE)]).unwrap_or_default();
    let report = run(&unit, apart, given, &identity)
        .unwrap_or_else(|error| report(&unit, Ending::Lost(error.chain())));
    if unit.level != Level::Bwrap {
        clear::remove(&identity::tmp_path(&unit.record))
            .map_err(Error::io("remove the unit's temporary directory"))?;
    }
    identity::cut(&unit.record)?;
    Ok(report)
}

/// Reads the unit, one line of JSON, from the connection.
fn read_unit() -> Result<Unit, Error> {
    let mut line = Vec::new();
    let mut buffer = vec![0; 16 << 10];
    while !line.ends_with(b"\n") {
        let read = rustix::io::read(rustix::stdio::stdin(), &mut buffer);
        let read = read.map_err(|errno| Error::io("read the unit's request")(errno.into()))?;
        if read == 0 {
            return Err(Error::io("read the unit's request")(
                std::io::ErrorKind::UnexpectedEof.into(),
            ));
        }
        line.extend_from_slice(&buffer[..read]);
    }
    serde_json::from_slice(&line)
        .map_err(|source| Error::Record { path: "the unit's request".into(), source })
}

/// Runs the unit to its end. An error means that the sandbox failed, and that nothing of the unit is left.
fn run(
    unit: &Unit,
    apart: bool,
    given: Vec<(OwnedFd, i32)>,
    identity: &Identity,
) -> Result<Report, Error> {
    let signals = block_signals()?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(|errno| Error::io("become the unit's reaper")(errno.into()))?;
    let door = unit.policy.network == Network::Door;
    if door && unit.level != Level::Bwrap {
        return Err(Error::Unsupported("a door of its own needs bubblewrap".into()));
    }
    if door {
        door::make(rustix::stdio::stdin())?;
    }
    let leaf = Leaf::create(&unit.cgroup, &identity.name(), &unit.policy.limits)?;
    let outcome =
        start(unit, apart || door, &leaf, given, &identity.name()).and_then(
            |started| match started {
                Started::Running(program) => attend(unit, &leaf, &signals, program),
                Started::NotExecutable(why) => Ok(report(unit, Ending::NotExecutable(why))),
            },
        );
    tree::end().and(leaf.remove()).and(outcome)
}

fn report(unit: &Unit, ending: Ending) -> Report {
    Report {
        ending,
        usage: Usage::default(),
        level: unit.level,
        accounting: unit.cgroup.accounting(),
        stdout: Captured::default(),
        stderr: Captured::default(),
    }
}

/// Lets `SIGTERM` and `SIGINT` be read instead of ending the helper.
fn block_signals() -> Result<SignalFd, Error> {
    let failed = |errno: nix::Error| Error::io("block signals")(errno.into());
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGTERM);
    mask.add(Signal::SIGINT);
    mask.thread_block().map_err(failed)?;
    SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).map_err(failed)
}

enum Started {
    Running(Program),
    NotExecutable(String),
}

/// The unit's first process, and where its output comes out.
struct Program {
    child: Child,
    at: Instant,
    streams: [PipeReader; 2],
    deputy: Option<Deputy>,
}

fn start(
    unit: &Unit,
    apart: bool,
    leaf: &Leaf,
    mut given: Vec<(OwnedFd, i32)>,
    name: &str,
) -> Result<Started, Error> {
    let policy = &unit.policy;
    let Some((program, arguments)) = policy.argv.split_first() else {
        return Ok(Started::NotExecutable("the command is empty".into()));
    };
    policy.require_gpus()?;
    let tmp = identity::tmp_path(&unit.record);
    let (mut confinement, mut cwd, mut line) = (None, None, None);
    let mut command = match unit.level {
        Level::Bwrap => {
            given.push((filter_file(unit)?, descriptors::SECCOMP));
            let mut handed = Handed { seccomp: Some(descriptors::SECCOMP), copies: Vec::new() };
            for (path, number) in policy.system_files().into_iter().zip(descriptors::COPIES) {
                let file = fs_err::File::open(path).map_err(Error::io("hand over a file"))?;
                given.push((file.into_file().into(), number));
                handed.copies.push((path, number));
            }
            let mut command = bwrap_command(unit, apart, &handed)?;
            command.arg("--").args(&policy.argv);
            command
        }
        Level::Landlock | Level::None => {
            if !policy.env.contains_key("TMPDIR") {
                // A unit that was killed here before may have left its own.
                clear::remove(&tmp)
                    .map_err(Error::io("remove an earlier unit's temporary directory"))?;
                fs_err::create_dir(&tmp)
                    .map_err(Error::io("make the unit's temporary directory"))?;
            }
            if unit.level == Level::Landlock {
                let (ours, theirs) =
                    UnixStream::pair().map_err(Error::io("make a line to the unit's filter"))?;
                confinement = Some(Confinement::new(policy, &tmp, theirs.into())?);
                line = Some(ours);
            }
            let mut command = Command::new(program);
            command.args(arguments).env_clear().envs(policy.environment(unit.level, &tmp));
            command.env(identity::MARK, name);
            cwd = Some(policy.cwd.clone());
            command
        }
    };
    let pipe = || std::io::pipe().map_err(Error::io("make the unit's output pipes"));
    let ((stdout, stdout_end), (mut stderr, stderr_end)) = (pipe()?, pipe()?);
    command.stdin(Stdio::null()).stdout(stdout_end).stderr(stderr_end);
    let helper = rustix::process::getpid();
    let limits = rlimits(&policy.limits);
    Entry { helper, doors: leaf.doors()?, limits, cwd, confinement, given }.guard(&mut command);
    let at = Instant::now();
    let spawned = command.spawn();
    // With it go this process's ends of the pipes.
    drop(command);
    match spawned {
        Ok(child) => {
            let deputy = line.map(|line| Deputy::receive(line, policy, &tmp)).transpose()?;
            Ok(Started::Running(Program { child, at, streams: [stdout, stderr], deputy }))
        }
        Err(error) if error.raw_os_error() == Some(ENTRY_FAILED.raw_os_error()) => {
            let mut why = String::new();
            stderr.read_to_string(&mut why).map_err(Error::io("enter the sandbox"))?;
            Err(Error::Entry(why))
        }
        Err(error) if unit.level == Level::Bwrap => Err(Error::io("start bubblewrap")(error)),
        Err(error) => Ok(Started::NotExecutable(format!("{program}: {error}"))),
    }
}

fn bwrap_command(unit: &Unit, apart: bool, handed: &Handed<'_>) -> Result<Command, Error> {
    let missing = || Error::Unsupported("bubblewrap is not installed".into());
    let mut command = Command::new(bwrap::program().ok_or_else(missing)?);
    command.env_clear().current_dir("/").args(bwrap::options(&unit.policy, apart, handed));
    Ok(command)
}

fn filter_file(unit: &Unit) -> Result<OwnedFd, Error> {
    let failed = || Error::io("hand over the system call filter");
    let (read, mut write) = std::io::pipe().map_err(failed())?;
    // Some hundred instructions of eight bytes: far below what a pipe holds.
    write
        .write_all(&seccomp::bytes(&seccomp::filter(unit.policy.network, Level::Bwrap)?))
        .map_err(failed())?;
    Ok(read.into())
}

fn rlimits(limits: &Limits) -> Vec<(Resource, Rlimit)> {
    let both = |value| Rlimit { current: Some(value), maximum: Some(value) };
    // The watch holds the tree to its exact limit; this is for one process that outruns the watch.
    let cpu = limits.cpu.map(|cpu| (Resource::Cpu, both(cpu.as_secs() + 2)));
    let files = limits.open_files.map(|files| (Resource::Nofile, both(files)));
    let size = limits.disk.map(|bytes| (Resource::Fsize, both(bytes)));
    [Some((Resource::Core, both(0))), cpu, files, size].into_iter().flatten().collect()
}

/// Attends to the running unit until nothing of it is left.
fn attend(unit: &Unit, leaf: &Leaf, signals: &SignalFd, program: Program) -> Result<Report, Error> {
    let Program { mut child, at: started, streams, deputy } = program;
    let pid = Pid::from_child(&child);
    for stream in &streams {
        rustix::io::ioctl_fionbio(stream, true)
            .map_err(|errno| Error::io("prepare the unit's output")(errno.into()))?;
    }
    let streams = streams.map(|stream| Capture::new(Some(stream), unit.policy.limits.kept));
    let process = rustix::process::pidfd_open(pid, PidfdFlags::empty())
        .map_err(|errno| Error::io("open the program's process")(errno.into()))?;
    let mut watch = Watch {
        policy: &unit.policy,
        leaf,
        sampled: unit.cgroup == Cgroup::Watchdog,
        started,
        process,
        signals,
        streams,
        deputy,
        sampled_memory: 0,
        sampled_cpu: Duration::ZERO,
    };
    let stop = watch.run();
    leaf.kill();
    // Not waited for yet, so its number cannot be another group's. What has left the group comes next.
    rustix::process::kill_process_group(pid, rustix::process::Signal::KILL).ok();
    let status = child.wait().map_err(Error::io("wait for the program"))?;
    tree::end()?;
    let wall = started.elapsed();
    watch.drain()?;
    let usage = usage(&watch, leaf, wall);
    let ending = ending(unit, stop?, status, &watch, &usage);
    let [stdout, stderr] = watch.streams.map(Capture::finish);
    let mut report = Report { usage, stdout, stderr, ..report(unit, ending) };
    if unit.level == Level::Bwrap
        && report.ending == Ending::Exit(1)
        && report.stderr.head.starts_with("bwrap: ")
    {
        report.ending = blame_bwrap(unit, &report.stderr.head)?;
    }
    Ok(report)
}

fn usage(watch: &Watch<'_>, leaf: &Leaf, wall: Duration) -> Usage {
    // Every process of the tree has been waited for, by its parent or by the helper.
    let (cpu, peak_rss_bytes) =
        getrusage(UsageWho::RUSAGE_CHILDREN).map_or((Duration::ZERO, 0), |used| {
            let micros = (used.user_time() + used.system_time()).num_microseconds();
            (Duration::from_micros(micros.unsigned_abs()), used.max_rss().unsigned_abs() * 1024)
        });
    Usage {
        wall_seconds: wall.as_secs_f64(),
        cpu_seconds: leaf.cpu().unwrap_or(cpu.max(watch.sampled_cpu)).as_secs_f64(),
        peak_memory_bytes: leaf.peak_memory().unwrap_or(watch.sampled_memory.max(peak_rss_bytes)),
        peak_rss_bytes,
        disk_bytes: if watch.policy.limits.disk.is_some() { watch.disk() } else { 0 },
        refused_forks: leaf.refused_forks(),
    }
}

/// One ending out of everything that is known, the most telling cause first.
fn ending(unit: &Unit, stop: Stop, status: ExitStatus, watch: &Watch<'_>, usage: &Usage) -> Ending {
    let limits = &unit.policy.limits;
    let over_cpu = || limits.cpu.is_some_and(|limit| usage.cpu_seconds > limit.as_secs_f64());
    let plain = match (status.code(), status.signal()) {
        (Some(code @ 129..=192), _) if unit.level == Level::Bwrap => Ending::Signal(code - 128),
        (Some(code), _) => Ending::Exit(code),
        (None, signal) => Ending::Signal(signal.unwrap_or_default()),
    };
    match stop {
        Stop::Wall => Ending::WallLimit,
        Stop::Cpu => Ending::CpuLimit,
        Stop::Memory => Ending::OutOfMemory,
        Stop::Processes => Ending::ProcessLimit,
        Stop::Disk => Ending::DiskLimit,
        Stop::Flood => Ending::OutputFlood,
        Stop::Cancelled => Ending::Cancelled,
        Stop::Ended if watch.output() > limits.output => Ending::OutputFlood,
        Stop::Ended if plain != Ending::Exit(0) && watch.leaf.oom_kills() > 0 => {
            Ending::OutOfMemory
        }
        Stop::Ended if over_cpu() || plain == Ending::Signal(libc::SIGXCPU) => Ending::CpuLimit,
        Stop::Ended
            if watch.over_disk(usage.disk_bytes) || plain == Ending::Signal(libc::SIGXFSZ) =>
        {
            Ending::DiskLimit
        }
        Stop::Ended if plain != Ending::Exit(0) && usage.refused_forks > 0 => Ending::ProcessLimit,
        Stop::Ended if plain == Ending::Signal(libc::SIGSYS) => {
            Ending::Denied("a system call of another architecture".into())
        }
        Stop::Ended => plain,
    }
}

/// Tells a set-up that failed from a program that could not be executed, or that only says so: the same set-up is
/// tried again for a program that does not exist, and a recipe has no say in how far that gets.
fn blame_bwrap(unit: &Unit, said: &str) -> Result<Ending, Error> {
    let mut command = bwrap_command(unit, false, &Handed::default())?;
    let output = command.args(["--", bwrap::NOWHERE]).stdin(Stdio::null()).output();
    let output = output.map_err(Error::io("try the sandbox again"))?;
    tree::end()?;
    let retried = String::from_utf8_lossy(&output.stderr);
    Ok(match retried.strip_prefix("bwrap: execvp ") {
        Some(_) => match said.strip_prefix("bwrap: execvp ") {
            Some(why) => Ending::NotExecutable(why.trim_end().into()),
            None => Ending::Exit(1),
        },
        None => Ending::Lost(format!("bubblewrap: {}", retried.trim_end())),
    })
}
