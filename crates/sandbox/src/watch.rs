//! Watches a running unit until it ends or has to be ended, sleeping in between.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::sys::signalfd::SignalFd;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use crate::Error;
use crate::capture::Capture;
use crate::cgroup::{Leaf, OWN_PROCESSES};
use crate::deputy::Deputy;
use crate::policy::{Access, Policy};
use crate::{disk, tree};

/// Why the watch is over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The first process has ended by itself.
    Ended,
    /// A limit has passed or the harness wants the end: the tree has to be ended.
    Wall,
    Cpu,
    Memory,
    Processes,
    Disk,
    Flood,
    Cancelled,
}

/// A running unit.
pub(crate) struct Watch<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) leaf: &'a Leaf,
    /// Whether memory and processes have to be sampled, for want of a control group.
    pub(crate) sampled: bool,
    pub(crate) started: Instant,
    /// The first process.
    pub(crate) process: OwnedFd,
    pub(crate) signals: &'a SignalFd,
    pub(crate) streams: [Capture; 2],
    /// Who answers the system call filter, at the level that needs it.
    pub(crate) deputy: Option<Deputy>,
    /// Highest sample of the watchdog, in bytes.
    pub(crate) sampled_memory: u64,
    /// Last sample of processor time.
    pub(crate) sampled_cpu: Duration,
}

/// Between samples of `/proc`, and the least time between looks at processor time.
const SAMPLE_EVERY: Duration = Duration::from_millis(50);
/// Between walks over the writable views; stretched where a walk takes long.
const WALK_EVERY: Duration = Duration::from_millis(500);
/// One read's worth: the default capacity of a pipe.
const BUFFER: usize = 64 << 10;

impl Watch<'_> {
    /// Returns at the end of the first process, or when the tree has to be ended.
    pub(crate) fn run(&mut self) -> Result<Stop, Error> {
        let limits = &self.policy.limits;
        let deadline = self.started.checked_add(limits.wall);
        let mut next_look =
            (self.sampled || limits.cpu.is_some()).then(|| self.next_look(Duration::ZERO));
        let mut next_walk = limits.disk.map(|_| self.started + WALK_EVERY);
        let mut buffer = vec![0; BUFFER];
        loop {
            let wake = [deadline, next_look, next_walk].into_iter().flatten().min();
            let ready = self.wait(wake)?;
            match ready.asked {
                Asked::No => {}
                Asked::Yes => self.deputy.iter().for_each(Deputy::answer),
                // The last process that could ask has ended.
                Asked::NeverAgain => self.deputy = None,
            }
            for stream in &mut self.streams {
                stream
                    .drain(&mut buffer, BUFFER as u64)
                    .map_err(Error::io("read the unit's output"))?;
            }
            if self.output() > limits.output {
                return Ok(Stop::Flood);
            }
            if ready.ended {
                return Ok(Stop::Ended);
            }
            if ready.cancelled {
                return Ok(Stop::Cancelled);
            }
            let now = Instant::now();
            if deadline.is_some_and(|at| at <= now) {
                return Ok(Stop::Wall);
            }
            if next_look.is_some_and(|at| at <= now) {
                match self.look() {
                    Ok(used) => next_look = Some(self.next_look(used)),
                    Err(stop) => return Ok(stop),
                }
            }
            if next_walk.is_some_and(|at| at <= now) {
                if self.over_disk(self.disk()) {
                    return Ok(Stop::Disk);
                }
                next_walk = Some(Instant::now() + WALK_EVERY.max(now.elapsed() * 20));
            }
        }
    }

    /// Takes what is left in the streams of a tree that has ended.
    pub(crate) fn drain(&mut self) -> Result<(), Error> {
        let mut buffer = vec![0; BUFFER];
        let limit = self.policy.limits.output;
        let drain = |stream: &mut Capture| stream.drain(&mut buffer, limit.saturating_add(1));
        self.streams.iter_mut().try_for_each(drain).map_err(Error::io("read the unit's output"))
    }

    /// Bytes of output so far.
    pub(crate) fn output(&self) -> u64 {
        self.streams.iter().map(|stream| stream.total).sum()
    }

    /// Bytes on disk in the writable views.
    pub(crate) fn disk(&self) -> u64 {
        let writable = self.policy.views.iter().filter(|view| view.access == Access::Write);
        writable.map(|view| disk::allocated(&view.host)).sum()
    }

    pub(crate) fn over_disk(&self, bytes: u64) -> bool {
        self.policy.limits.disk.is_some_and(|limit| bytes > limit)
    }

    /// Samples what the kernel does not limit by itself; says the processor time used.
    fn look(&mut self) -> Result<Duration, Stop> {
        let limits = &self.policy.limits;
        let counted = self.leaf.cpu();
        let cpu = if self.sampled || counted.is_none() {
            let most =
                limits.processes.filter(|_| self.sampled).map(|n| n.saturating_add(OWN_PROCESSES));
            let most = most.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
            let sample = tree::sample(most);
            self.sampled_memory = self.sampled_memory.max(sample.memory);
            self.sampled_cpu = self.sampled_cpu.max(sample.cpu);
            if self.sampled && limits.memory.is_some_and(|limit| sample.memory > limit) {
                return Err(Stop::Memory);
            }
            if sample.threads > most as u64 {
                return Err(Stop::Processes);
            }
            counted.unwrap_or(self.sampled_cpu)
        } else {
            counted.unwrap_or_default()
        };
        if limits.cpu.is_some_and(|limit| cpu > limit) { Err(Stop::Cpu) } else { Ok(cpu) }
    }

    /// With N processors, processor time cannot pass its limit before an Nth of what is left of it has gone by.
    fn next_look(&self, used: Duration) -> Instant {
        let wait = match self.policy.limits.cpu {
            Some(limit) if !self.sampled => {
                let processors = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
                limit.saturating_sub(used) / processors
            }
            _ => Duration::ZERO,
        };
        Instant::now() + wait.max(SAMPLE_EVERY)
    }

    fn wait(&self, wake: Option<Instant>) -> Result<Ready, Error> {
        let stdin = rustix::stdio::stdin();
        let mut fds = vec![
            PollFd::new(&self.process, PollFlags::IN),
            PollFd::new(&stdin, PollFlags::IN),
            PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
        ];
        for source in self.streams.iter().filter_map(|stream| stream.source.as_ref()) {
            fds.push(PollFd::from_borrowed_fd(source.as_fd(), PollFlags::IN));
        }
        for listener in self.deputy.iter().map(Deputy::listener) {
            fds.push(PollFd::new(listener, PollFlags::IN));
        }
        let left = wake.map(|at| at.saturating_duration_since(Instant::now()));
        let timeout = left.and_then(|left| left.try_into().ok());
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::io("wait for the unit")(errno.into())),
        }
        let ready = |n: usize| !fds[n].revents().is_empty();
        let asked = match fds.last().filter(|_| self.deputy.is_some()).map(PollFd::revents) {
            Some(events) if events.contains(PollFlags::IN) => Asked::Yes,
            Some(events) if !events.is_empty() => Asked::NeverAgain,
            Some(_) | None => Asked::No,
        };
        Ok(Ready { ended: ready(0), cancelled: ready(1) || ready(2), asked })
    }
}

struct Ready {
    ended: bool,
    /// The harness has nothing to say but goodbye: whatever happens on standard input is the end.
    cancelled: bool,
    asked: Asked,
}

/// Whether the system call filter waits for an answer.
enum Asked {
    No,
    Yes,
    NeverAgain,
}
