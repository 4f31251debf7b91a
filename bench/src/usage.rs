//! What a process has cost so far: CPU time and memory, as `/proc` tells.

use std::{fs, io, process, time::Duration};

/// CPU time and memory of one process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// In user space and in the kernel, all its threads, since it began.
    pub cpu: Duration,
    /// Resident memory now.
    pub rss_bytes: u64,
    /// The most it ever was.
    pub rss_peak_bytes: u64,
}

impl Usage {
    /// Of the process `pid`.
    ///
    /// # Errors
    ///
    /// There is no such process, or `/proc` speaks another language.
    pub fn of(pid: u32) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let ticks = rustix::param::clock_ticks_per_second();
        parse(&stat, &status, ticks).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Of this process.
    ///
    /// # Errors
    ///
    /// See [`Self::of`].
    pub fn own() -> io::Result<Self> {
        Self::of(process::id())
    }
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
    Some(Usage { cpu, rss_bytes: bytes("VmRSS:")?, rss_peak_bytes: bytes("VmHWM:")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_writes_is_read() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 4 0 99 1 2 3";
        let status = "Name:\tx\nVmHWM:\t   2048 kB\nVmRSS:\t    1024 kB\n";
        let expected =
            Usage { cpu: Duration::from_secs(3), rss_bytes: 1 << 20, rss_peak_bytes: 2 << 20 };
        assert_eq!(parse(stat, status, 100), Some(expected));
        assert_eq!(parse(stat, "", 100), None);
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
    }
}
