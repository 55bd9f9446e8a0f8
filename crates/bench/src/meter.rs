//! What this process and its children have used so far.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use anyhow::Context;
use empiric_agents::{Brief, Proposal, Proposer, Staff};
use empiric_core::Failure;
use nix::{
    sys::{
        resource::{UsageWho, getrusage},
        time::TimeValLike as _,
    },
    time::{ClockId, clock_gettime},
};

/// One reading.
#[derive(Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) at: Instant,
    /// User and system time of this process: the dispatcher with all its threads.
    pub(crate) own: Duration,
    /// The part of it that went into making proposals, the trees they read included.
    pub(crate) proposals: Duration,
    /// The same of the zygote and of all processes that have been waited for: sandbox helpers, and what they ran.
    pub(crate) children: Duration,
    /// CPU time of the whole machine, ours and everybody's.
    pub(crate) machine: Duration,
    /// CPU seconds that the helpers metered of recipe and evaluator, the sandbox's own start among them.
    pub(crate) metered: f64,
}

impl Reading {
    pub(crate) fn now(proposer: &Metered<impl Proposer>, metered: f64) -> Self {
        Self {
            at: Instant::now(),
            own: cpu(UsageWho::RUSAGE_SELF),
            proposals: Duration::from_micros(proposer.micros.load(Ordering::Relaxed)),
            children: cpu(UsageWho::RUSAGE_CHILDREN) + living().unwrap_or_default(),
            machine: machine().unwrap_or_default(),
            metered,
        }
    }
}

fn cpu(who: UsageWho) -> Duration {
    getrusage(who).map_or(Duration::ZERO, |used| {
        let micros = (used.user_time() + used.system_time()).num_microseconds();
        Duration::from_micros(micros.unsigned_abs())
    })
}

/// User and system time of this process's living children and of all that they have waited for, in hundredths of a
/// second: fields 14 to 17 of `/proc/PID/stat`.
fn living() -> std::io::Result<Duration> {
    let mut ticks = 0;
    for task in fs_err::read_dir("/proc/self/task")? {
        for pid in fs_err::read_to_string(task?.path().join("children"))?.split_whitespace() {
            let Ok(stat) = fs_err::read_to_string(format!("/proc/{pid}/stat")) else { continue };
            let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
            let times = fields.split(' ').skip(11).take(4);
            ticks += times.filter_map(|field| field.parse::<u64>().ok()).sum::<u64>();
        }
    }
    Ok(Duration::from_millis(10 * ticks))
}

/// CPU time of the calling thread, to the nanosecond: what `getrusage` says of one thread is as old as its last turn.
fn thread() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, stolen, in hundredths of a second.
fn machine() -> Option<Duration> {
    let stat = fs_err::read_to_string("/proc/stat").ok()?;
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks = line.split_whitespace().map_while(|word| word.parse::<u64>().ok());
    let busy = ticks.take(8).enumerate().filter(|(n, _)| ![3, 4].contains(n));
    Some(Duration::from_millis(10 * busy.map(|(_, ticks)| ticks).sum::<u64>()))
}

/// Most memory this process has ever held, in bytes.
pub(crate) fn peak_memory() -> anyhow::Result<u64> {
    let status = fs_err::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")).map(str::trim);
    let kib: u64 = kib.context("/proc/self/status has no VmHWM")?.parse()?;
    Ok(kib * 1024)
}

/// A proposer whose CPU time is counted.
pub(crate) struct Metered<P> {
    proposer: P,
    micros: AtomicU64,
}

impl<P> Metered<P> {
    pub(crate) fn new(proposer: P) -> Self {
        Self { proposer, micros: AtomicU64::new(0) }
    }
}

impl<P: Proposer> Proposer for Metered<P> {
    fn name(&self) -> &str {
        self.proposer.name()
    }

    fn ahead(&self, slots: usize) -> usize {
        self.proposer.ahead(slots)
    }

    fn staff(&self) -> Option<Staff> {
        self.proposer.staff()
    }

    fn asks_models(&self) -> bool {
        self.proposer.asks_models()
    }

    fn propose(&self, brief: &Brief) -> Result<Proposal, Failure> {
        let before = thread();
        let made = self.proposer.propose(brief);
        let took = thread().saturating_sub(before);
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(0), Ordering::Relaxed);
        made
    }
}
