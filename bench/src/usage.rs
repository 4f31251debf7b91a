//! What a process and all that it has started have cost so far, as `/proc` tells.
//!
//! The scheduler counts the nanoseconds of each thread that lives (`schedstat`); the sum with those that
//! have ended comes in hundredths of a second only (`stat`). Both are at most what was used, so the larger
//! of the two is taken.

use std::{fs, io, process, time::Duration};

use serde::{Deserialize, Serialize};

/// CPU time, memory and turns of one process and its children.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// In user space and in the kernel, all threads, since it began.
    pub cpu: Duration,
    /// Resident memory now.
    pub rss_bytes: u64,
    /// The most it ever was.
    pub rss_peak_bytes: u64,
    /// How often a thread gave up the processor, or lost it.
    pub context_switches: u64,
    /// Threads that live.
    pub threads: u64,
}

impl Usage {
    /// Of the process `pid` and all below it.
    ///
    /// # Errors
    ///
    /// There is no such process, or `/proc` speaks another language.
    pub fn of(pid: u32) -> io::Result<Self> {
        let mut sum = Self::of_one(pid)?;
        for child in children(pid) {
            // A child that has ended meanwhile is in its parent's count.
            if let Ok(usage) = Self::of(child) {
                sum = sum.and(usage);
            }
        }
        Ok(sum)
    }

    /// Of this process.
    ///
    /// # Errors
    ///
    /// See [`Self::of`].
    pub fn own() -> io::Result<Self> {
        Self::of_one(process::id())
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            cpu: self.cpu + other.cpu,
            rss_bytes: self.rss_bytes + other.rss_bytes,
            rss_peak_bytes: self.rss_peak_bytes + other.rss_peak_bytes,
            context_switches: self.context_switches + other.context_switches,
            threads: self.threads + other.threads,
        }
    }

    fn of_one(pid: u32) -> io::Result<Self> {
        let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}"));
        let ticks = rustix::param::clock_ticks_per_second();
        let parsed = parse(&read("stat")?, &read("status")?, ticks);
        let mut usage = parsed.ok_or(io::ErrorKind::InvalidData)?;
        let mut ran = Duration::ZERO;
        for task in tasks(pid) {
            // A thread that has ended meanwhile is in the process's count of hundredths.
            let schedule = fs::read_to_string(format!("{task}/schedstat")).unwrap_or_default();
            ran += nanos(&schedule).unwrap_or_default();
            let status = fs::read_to_string(format!("{task}/status")).unwrap_or_default();
            usage.context_switches += switches(&status);
            usage.threads += 1;
        }
        usage.cpu = usage.cpu.max(ran);
        Ok(usage)
    }
}

fn tasks(pid: u32) -> Vec<String> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    tasks.flatten().filter_map(|task| task.path().to_str().map(Into::into)).collect()
}

fn children(pid: u32) -> Vec<u32> {
    let told = |task: String| fs::read_to_string(format!("{task}/children")).unwrap_or_default();
    let told: String = tasks(pid).into_iter().map(told).collect();
    told.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// The first number of `schedstat`: how long the thread ran.
fn nanos(schedule: &str) -> Option<Duration> {
    Some(Duration::from_nanos(schedule.split(' ').next()?.parse().ok()?))
}

/// Of a thread's `status`.
fn switches(status: &str) -> u64 {
    let lines = status.lines().filter_map(|line| line.split_once("_ctxt_switches:"));
    lines.filter_map(|(_, count)| count.trim().parse::<u64>().ok()).sum()
}

fn parse(stat: &str, status: &str, ticks_per_second: u64) -> Option<Usage> {
    // The command's name is in brackets and may have anything in it, brackets too.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut times = fields.split(' ').skip(11).map(str::parse::<u64>);
    let ticks = times.next()?.ok()? + times.next()?.ok()?;
    let cpu = Duration::from_nanos(ticks * (1_000_000_000 / ticks_per_second));
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
    };
    let (rss_bytes, rss_peak_bytes) = (bytes("VmRSS:")?, bytes("VmHWM:")?);
    Some(Usage { cpu, rss_bytes, rss_peak_bytes, ..Usage::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_writes_is_read() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 4 0 99 1 2 3";
        let status = "Name:\tx\nVmHWM:\t   2048 kB\nVmRSS:\t    1024 kB\n";
        let (cpu, rss_bytes, rss_peak_bytes) = (Duration::from_secs(3), 1 << 20, 2 << 20);
        let expected = Usage { cpu, rss_bytes, rss_peak_bytes, ..Usage::default() };
        assert_eq!(parse(stat, status, 100), Some(expected));
        assert_eq!(parse(stat, "", 100), None);
        assert_eq!(nanos("1234567 89 10\n"), Some(Duration::from_nanos(1_234_567)));
        let counts = "x:\t1\nvoluntary_ctxt_switches:\t30\nnonvoluntary_ctxt_switches:\t12\n";
        assert_eq!(switches(counts), 42);
    }

    #[test]
    fn work_and_memory_show() {
        let before = Usage::own().unwrap();
        let mut block = Vec::new();
        // Bounded: a machine on which this takes no CPU time is none.
        for round in 0..100_000_u64 {
            block.extend((0..1_000).map(|byte| (byte * round) as u8));
            block.truncate(32 << 20);
            if round % 100 == 0
                && Usage::own().unwrap().cpu >= before.cpu + Duration::from_millis(100)
            {
                break;
            }
        }
        let after = Usage::own().unwrap();
        assert!(after.cpu >= before.cpu + Duration::from_millis(100), "{before:?} {after:?}");
        assert!(after.rss_peak_bytes >= after.rss_bytes.min(block.len() as u64));
        assert!(after.threads >= 1);
    }

    #[test]
    fn a_child_counts_for_whoever_started_it() {
        let mut shell = process::Command::new("sh")
            .args(["-c", "cat; true"])
            .stdin(process::Stdio::piped())
            .spawn()
            .unwrap();
        // The shell has its child once there are two threads between them.
        let two = (0..60_000).any(|_| {
            std::thread::yield_now();
            Usage::of(shell.id()).is_ok_and(|usage| usage.threads == 2)
        });
        drop(shell.stdin.take());
        shell.wait().unwrap();
        assert!(two, "the child was not seen");
    }
}
