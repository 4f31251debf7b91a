//! A disk that does what disks do on their worst day, from one seed.
//!
//! Each file has the bytes that a reader sees, and the bytes that a loss of power leaves: between
//! two syncs, any of the 512-byte blocks written may have reached the platter or not, in any order.
//! Names behave likewise: a rename or a new file that was not followed by a sync of its folder may
//! be undone. Calls can be made to fail, and the machine to stop, at the Nth write, sync or rename.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{Disk, DiskFile, DiskLock};

/// What a loss of power may tear apart: a sector.
const BLOCK: usize = 512;

/// A simulated disk. Clones are the same disk.
#[derive(Clone, Debug)]
pub(crate) struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    random: StdRng,
    inodes: BTreeMap<u64, Inode>,
    /// What each name shows now, and what it shows after a loss of power.
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    folders: BTreeSet<PathBuf>,
    locked: BTreeSet<PathBuf>,
    next: u64,
    /// Bytes that fit, all files together.
    capacity: u64,
    faults: Faults,
    calls: u64,
}

#[derive(Debug, Default)]
struct Inode {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    /// Blocks that the next sync will write. A failed one clears them all the same.
    dirty: BTreeSet<usize>,
}

/// What goes wrong, and when: numbers count down, and it happens when they reach 0.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// The machine stops at this change of the disk: nothing is written from then on. A write that
    /// it stops in is torn.
    pub(crate) stop_at: Option<u64>,
    /// This sync fails with EIO, once; what it should have synced is dropped, as kernels do.
    pub(crate) sync_fails_at: Option<u64>,
    /// Reads fail with EIO.
    pub(crate) reads_fail: bool,
}

impl SimDisk {
    pub(crate) fn new(seed: u64) -> Self {
        let state = State {
            random: StdRng::seed_from_u64(seed),
            inodes: BTreeMap::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            folders: BTreeSet::new(),
            locked: BTreeSet::new(),
            next: 0,
            capacity: u64::MAX,
            faults: Faults::default(),
            calls: 0,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    pub(crate) fn set_capacity(&self, bytes: u64) {
        self.state().capacity = bytes;
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// Has the machine stopped?
    pub(crate) fn has_stopped(&self) -> bool {
        self.state().faults.stop_at == Some(0)
    }

    /// The process is killed: what was written stays; nothing else.
    pub(crate) fn restart(&self) {
        let mut state = self.state();
        state.faults = Faults::default();
        state.locked.clear();
    }

    /// The power goes: of what was not synced, each block and each name is kept or lost by chance.
    pub(crate) fn lose_power(&self) {
        self.restart();
        let mut state = self.state();
        let state = &mut *state;
        for inode in state.inodes.values_mut() {
            inode.tear(&mut state.random);
        }
        let all: BTreeSet<PathBuf> =
            state.names.keys().chain(state.durable_names.keys()).cloned().collect();
        for path in all {
            let (now, before) = (state.names.get(&path), state.durable_names.get(&path));
            let kept = if state.random.random() { now } else { before };
            match kept.copied() {
                Some(inode) => state.names.insert(path, inode),
                None => state.names.remove(&path),
            };
        }
        state.durable_names = state.names.clone();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inode {
    fn tear(&mut self, random: &mut StdRng) {
        let len = if random.random() { self.bytes.len() } else { self.durable.len() };
        let mut torn = self.durable.clone();
        torn.resize(len, 0);
        for block in std::mem::take(&mut self.dirty) {
            if random.random() {
                copy_block(&self.bytes, &mut torn, block);
            }
        }
        self.bytes.clone_from(&torn);
        self.durable = torn;
    }

    fn write(&mut self, bytes: &[u8], at: usize) {
        let end = at + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[at..end].copy_from_slice(bytes);
        self.dirty.extend(at / BLOCK..end.div_ceil(BLOCK));
    }

    fn sync(&mut self) {
        self.durable.resize(self.bytes.len(), 0);
        for block in std::mem::take(&mut self.dirty) {
            copy_block(&self.bytes, &mut self.durable, block);
        }
    }
}

fn copy_block(from: &[u8], to: &mut [u8], block: usize) {
    let range = block * BLOCK..((block + 1) * BLOCK).min(from.len()).min(to.len());
    if !range.is_empty() {
        to[range.clone()].copy_from_slice(&from[range]);
    }
}

impl State {
    /// Count a change of the disk; an error if the machine has stopped. True if it stops in it.
    fn change(&mut self) -> io::Result<bool> {
        self.calls += 1;
        match &mut self.faults.stop_at {
            Some(0) => Err(io::Error::other("the machine has stopped")),
            Some(left) => {
                *left -= 1;
                Ok(*left == 0)
            }
            None => Ok(false),
        }
    }

    fn used(&self) -> u64 {
        self.inodes.values().map(|inode| inode.bytes.len() as u64).sum()
    }

    fn drop_unnamed(&mut self) {
        let named: BTreeSet<u64> =
            self.names.values().chain(self.durable_names.values()).copied().collect();
        self.inodes.retain(|inode, _| named.contains(inode));
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    inode: u64,
}

#[derive(Debug)]
struct SimLock {
    disk: SimDisk,
    path: PathBuf,
}

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.state().locked.remove(&self.path);
    }
}

impl Disk for SimDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.folders.extend(path.ancestors().map(Path::to_path_buf));
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        if !state.folders.contains(path) {
            return Err(ErrorKind::NotFound.into());
        }
        let children: BTreeSet<String> = state
            .names
            .keys()
            .chain(&state.folders)
            .filter_map(|child| child.strip_prefix(path).ok()?.components().next())
            .map(|name| name.as_os_str().to_string_lossy().into_owned())
            .collect();
        Ok(children.into_iter().collect())
    }

    fn open(&self, path: &Path, write: bool) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        let found = state.names.get(path).copied();
        let inode = match found {
            Some(inode) => inode,
            None if write => {
                state.change()?;
                let inode = state.next;
                state.next += 1;
                state.inodes.insert(inode, Inode::default());
                state.names.insert(path.into(), inode);
                inode
            }
            None => return Err(ErrorKind::NotFound.into()),
        };
        Ok(Arc::new(SimFile { disk: self.clone(), inode }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        let moved: Vec<PathBuf> =
            state.names.keys().filter(|path| path.starts_with(from)).cloned().collect();
        if moved.is_empty() && !state.folders.contains(from) {
            return Err(ErrorKind::NotFound.into());
        }
        for path in moved {
            let rest = path.strip_prefix(from).unwrap_or_else(|_| Path::new(""));
            let target = if rest.as_os_str().is_empty() { to.into() } else { to.join(rest) };
            if let Some(inode) = state.names.remove(&path) {
                state.names.insert(target, inode);
            }
        }
        if state.folders.remove(from) {
            state.folders.insert(to.into());
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        state.names.remove(path);
        state.drop_unnamed();
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        state.names.retain(|name, _| !name.starts_with(path));
        state.folders.retain(|folder| !folder.starts_with(path));
        state.drop_unnamed();
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        let state = &mut *state;
        let inside = |name: &PathBuf| name.parent() == Some(path);
        state.durable_names.retain(|name, _| !inside(name));
        let now = state.names.iter().filter(|(name, _)| inside(name));
        state.durable_names.extend(now.map(|(name, inode)| (name.clone(), *inode)));
        Ok(())
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        let state = self.state();
        Ok(state.capacity.saturating_sub(state.used()))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        if !self.state().locked.insert(path.into()) {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimLock { disk: self.clone(), path: path.into() }))
    }
}

impl SimFile {
    fn with<T>(&self, work: impl FnOnce(&mut State, &mut Inode) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.state();
        let Some(mut inode) = state.inodes.remove(&self.inode) else {
            // Removed while it was open: its bytes matter to nobody any more.
            return work(&mut state, &mut Inode::default());
        };
        let result = work(&mut state, &mut inode);
        state.inodes.insert(self.inode, inode);
        result
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.with(|state, inode| {
            if state.faults.reads_fail {
                return Err(io::Error::from_raw_os_error(5));
            }
            let at = usize::try_from(at).map_err(io::Error::other)?;
            let rest = inode.bytes.get(at..).unwrap_or_default();
            let len = rest.len().min(buffer.len());
            buffer[..len].copy_from_slice(&rest[..len]);
            Ok(len)
        })
    }

    fn read_cached(&self, buffer: &mut [u8], at: u64) -> io::Result<bool> {
        Ok(self.read_at(buffer, at)? == buffer.len())
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.with(|state, inode| {
            let at = usize::try_from(at).map_err(io::Error::other)?;
            let room = state.capacity.saturating_sub(state.used() + inode.bytes.len() as u64);
            let grows = (at + bytes.len()).saturating_sub(inode.bytes.len());
            let torn = state.change()?;
            let mut bytes = bytes;
            if torn {
                bytes = &bytes[..state.random.random_range(0..=bytes.len())];
            }
            let full = grows as u64 > room;
            if full {
                let fits = usize::try_from(room).unwrap_or(usize::MAX) + inode.bytes.len();
                bytes = &bytes[..fits.saturating_sub(at).min(bytes.len())];
            }
            inode.write(bytes, at);
            match (torn, full) {
                (true, _) => Err(io::Error::other("the machine has stopped")),
                (_, true) => Err(ErrorKind::StorageFull.into()),
                _ => Ok(()),
            }
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(|state, inode| {
            state.change()?;
            inode.bytes.resize(usize::try_from(len).map_err(io::Error::other)?, 0);
            Ok(())
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.with(|_, inode| Ok(inode.bytes.len() as u64))
    }

    fn modified(&self) -> io::Result<SystemTime> {
        Ok(UNIX_EPOCH + Duration::from_secs(1))
    }

    fn sync(&self) -> io::Result<()> {
        self.with(|state, inode| {
            state.change()?;
            match &mut state.faults.sync_fails_at {
                Some(0) => {
                    state.faults.sync_fails_at = None;
                    inode.dirty.clear();
                    return Err(io::Error::from_raw_os_error(5));
                }
                Some(left) => *left -= 1,
                None => {}
            }
            inode.sync();
            Ok(())
        })
    }
}
