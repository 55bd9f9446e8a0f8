//! The processes below the helper: finding, sampling and ending all of them.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};

use crate::Error;

/// How long the kernel may take to tear a killed process down.
pub(crate) const END_WITHIN: Duration = Duration::from_secs(10);

pub(crate) fn gone_within(handle: &std::os::fd::OwnedFd, limit: Duration) -> bool {
    let timeout = limit.try_into().ok();
    rustix::event::poll(&mut [PollFd::new(handle, PollFlags::IN)], timeout.as_ref())
        .is_ok_and(|n| n > 0)
}

/// Ends and reaps every descendant of the calling process, which must be a subreaper.
pub(crate) fn end() -> Result<(), Error> {
    let until = Instant::now() + END_WITHIN;
    loop {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => break,
                Err(Errno::CHILD) => return Ok(()),
                Err(errno) => return Err(Error::io("wait for the unit's processes")(errno.into())),
            }
        }
        kill_all(&descendants(usize::MAX));
        let left = until.saturating_duration_since(Instant::now());
        let first = children(rustix::process::getpid()).first().copied();
        let handle =
            first.and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok());
        if left.is_zero() || handle.is_some_and(|handle| !gone_within(&handle, left)) {
            return Err(Error::io("end the unit's last processes")(
                std::io::ErrorKind::TimedOut.into(),
            ));
        }
    }
}

/// Kills processes and the groups they are in. The kernel signals a group in one step that no fork slips through, so
/// a program that forks faster than it can be counted does not outrun this unless it also changes groups as fast.
pub(crate) fn kill_all(pids: &[Pid]) {
    let groups = pids.iter().filter_map(|pid| rustix::process::getpgid(Some(*pid)).ok());
    let groups: HashSet<Pid> =
        groups.filter(|group| *group != rustix::process::getpgrp()).collect();
    for group in groups {
        rustix::process::kill_process_group(group, Signal::KILL).ok();
    }
    for pid in pids {
        rustix::process::kill_process(*pid, Signal::KILL).ok();
    }
}

/// Memory, processes and processor time of a tree at one moment.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    /// Private pages of all, and the largest share of common ones.
    pub(crate) memory: u64,
    pub(crate) threads: u64,
    pub(crate) cpu: Duration,
}

/// Samples every descendant of the calling process, or only counts them where there are more than `most`.
pub(crate) fn sample(most: usize) -> Sample {
    let (page, tick) =
        (rustix::param::page_size() as u64, rustix::param::clock_ticks_per_second().max(1));
    let mut total = Sample::default();
    let mut shared_most = 0;
    let pids = descendants(most);
    if pids.len() > most {
        return Sample { threads: pids.len() as u64, ..total };
    }
    for pid in pids {
        let Some(stat) = Stat::of(pid) else { continue };
        total.threads += stat.threads;
        total.cpu += Duration::from_millis(stat.ticks * 1000 / tick);
        let statm = fs_err::read_to_string(format!("/proc/{}/statm", pid.as_raw_nonzero()))
            .unwrap_or_default();
        let mut pages = statm.split(' ').skip(1).map(|n| n.parse::<u64>().unwrap_or(0) * page);
        let (resident, shared): (u64, u64) = (pages.next().unwrap_or(0), pages.next().unwrap_or(0));
        total.memory += resident.saturating_sub(shared);
        shared_most = shared_most.max(shared);
    }
    total.memory += shared_most;
    total
}

/// All descendants of the calling process, or somewhat more than `most` of them.
fn descendants(most: usize) -> Vec<Pid> {
    let mut found = children(rustix::process::getpid());
    let mut next = 0;
    while let Some(&pid) = found.get(next)
        && found.len() <= most
    {
        found.extend(children(pid));
        next += 1;
    }
    found
}

/// The children of all threads of a process.
fn children(pid: Pid) -> Vec<Pid> {
    let tasks = format!("/proc/{}/task", pid.as_raw_nonzero());
    let lists = fs_err::read_dir(tasks).into_iter().flatten().flatten();
    let lists = lists.filter_map(|task| fs_err::read_to_string(task.path().join("children")).ok());
    let pids = |list: String| {
        list.split_whitespace().filter_map(|n| Pid::from_raw(n.parse().ok()?)).collect::<Vec<_>>()
    };
    lists.flat_map(pids).collect()
}

/// Fields of `/proc/PID/stat`: proc(5).
#[derive(Debug)]
pub(crate) struct Stat {
    /// User and system time, of reaped children too.
    ticks: u64,
    threads: u64,
    /// Clock ticks after boot.
    pub(crate) start: u64,
}

impl Stat {
    pub(crate) fn of(pid: Pid) -> Option<Self> {
        let text = fs_err::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
        // The second field, the name, may hold anything; the third follows its last parenthesis.
        let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        let ticks = (14..=17).filter_map(number).sum();
        Some(Self { ticks, threads: number(20)?, start: number(22)? })
    }
}
