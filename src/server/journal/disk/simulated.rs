//! A disk that forgets: after a crash it has any part of what was not synced.
//!
//! It counts its operations. A test sets the operation at which the machine stops, or at which one
//! operation fails.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use super::{Disk, DiskFile};
use crate::random_numbers::Random;

/// What a disk writes at once.
const SECTOR_BYTES: usize = 64;

/// A disk that forgets what was not synced. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(in crate::server::journal) struct SimulatedDisk(Rc<RefCell<State>>);

/// An open file of a simulated disk.
#[derive(Debug)]
pub(in crate::server::journal) struct SimulatedFile {
    disk: SimulatedDisk,
    inode: usize,
}

#[derive(Clone, Debug, Default)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    pending_names: Vec<(String, Option<usize>)>,
    operations: u64,
    /// From this operation on, all fail.
    stops_at: Option<u64>,
    /// This operation fails.
    fails_at: Option<u64>,
    /// Decides what a failure leaves behind.
    random: u64,
}

/// A file.
#[derive(Clone, Debug, Default)]
struct Inode {
    /// What a crash keeps for certain.
    durable: Vec<u8>,
    /// What is read.
    cached: Vec<u8>,
    /// What a crash may keep, in order.
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Length(usize),
    Bytes(usize, Vec<u8>),
}

impl SimulatedDisk {
    /// Lets the machine stop at an operation.
    pub(in crate::server::journal) fn stop_at(&self, operation: u64) {
        self.0.borrow_mut().stops_at = Some(operation);
    }

    /// Lets one operation fail.
    pub(in crate::server::journal) fn fail_at(&self, operation: u64, random: u64) {
        let mut state = self.0.borrow_mut();
        state.fails_at = Some(operation);
        state.random = random;
    }

    /// Number of operations so far.
    pub(in crate::server::journal) fn operations(&self) -> u64 {
        self.0.borrow().operations
    }

    /// Whether the machine has stopped.
    pub(in crate::server::journal) fn has_stopped(&self) -> bool {
        let state = self.0.borrow();
        state.stops_at.is_some_and(|stop| state.operations > stop)
    }

    /// The disk after a crash of the machine: each change that was not synced is there, or a part
    /// of it, or nothing.
    pub(in crate::server::journal) fn after_crash(&self, random: &mut Random) -> Self {
        let mut state = self.0.borrow().clone();
        let keep_all = random.one_in(8);
        let keep_none = random.one_in(8);
        let keeps = |random: &mut Random| keep_all || (!keep_none && random.one_in(2));
        for inode in &mut state.inodes {
            for change in std::mem::take(&mut inode.pending) {
                for part in change.sectors() {
                    if keeps(random) {
                        part.apply(&mut inode.durable);
                    }
                }
            }
            inode.cached = inode.durable.clone();
        }
        for (name, inode) in std::mem::take(&mut state.pending_names) {
            if keeps(random) {
                rename(&mut state.durable_names, name, inode);
            }
        }
        state.names = state.durable_names.clone();
        state.stops_at = None;
        state.fails_at = None;
        Self(Rc::new(RefCell::new(state)))
    }

    /// An independent copy of the disk.
    pub(in crate::server::journal) fn copy(&self) -> Self {
        Self(Rc::new(RefCell::new(self.0.borrow().clone())))
    }

    /// Changes the content of a file, as a fault of the disk does.
    pub(in crate::server::journal) fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.0.borrow_mut();
        let inode = state.names[name];
        let inode = &mut state.inodes[inode];
        change(&mut inode.cached);
        inode.durable = inode.cached.clone();
    }

    /// Begins an operation. Returns the error with which it fails.
    fn begin(&self) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        let operation = state.operations;
        state.operations += 1;
        if state.stops_at.is_some_and(|stop| operation >= stop) {
            return Err(io::Error::other("the machine has stopped"));
        }
        if state.fails_at == Some(operation) {
            return Err(io::Error::other("the operation has failed"));
        }
        Ok(())
    }
}

fn rename(names: &mut BTreeMap<String, usize>, name: String, inode: Option<usize>) {
    match inode {
        Some(inode) => names.insert(name, inode),
        None => names.remove(&name),
    };
}

impl Change {
    /// The parts of which a crash keeps any.
    fn sectors(self) -> Vec<Change> {
        match self {
            Change::Length(_) => vec![self],
            Change::Bytes(offset, bytes) => {
                let mut parts = Vec::new();
                let mut start = 0;
                while start < bytes.len() {
                    let sector_end = (offset + start) / SECTOR_BYTES * SECTOR_BYTES + SECTOR_BYTES;
                    let end = bytes.len().min(sector_end - offset);
                    parts.push(Change::Bytes(offset + start, bytes[start..end].to_vec()));
                    start = end;
                }
                parts
            }
        }
    }

    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Change::Length(length) => content.resize(*length, 0),
            Change::Bytes(offset, bytes) => {
                let end = offset + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*offset..end].copy_from_slice(bytes);
            }
        }
    }
}

impl State {
    /// Whether the machine had stopped before the last operation.
    fn has_stopped(&self) -> bool {
        self.stops_at.is_some_and(|stop| self.operations > stop + 1)
    }
}

impl Inode {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.cached);
        self.pending.push(change);
    }
}

impl Disk for SimulatedDisk {
    type File = SimulatedFile;

    fn names(&self) -> io::Result<Vec<String>> {
        self.begin()?;
        Ok(self.0.borrow().names.keys().cloned().collect())
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<SimulatedFile> {
        self.begin()?;
        let mut state = self.0.borrow_mut();
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let number = state.inodes.len();
        let mut inode = Inode::default();
        inode.change(Change::Length(
            usize::try_from(bytes).expect("a small file"),
        ));
        state.inodes.push(inode);
        state.names.insert(name.to_owned(), number);
        state.pending_names.push((name.to_owned(), Some(number)));
        Ok(SimulatedFile {
            disk: self.clone(),
            inode: number,
        })
    }

    fn open(&self, name: &str) -> io::Result<SimulatedFile> {
        self.begin()?;
        let inode = self.0.borrow().names.get(name).copied();
        Ok(SimulatedFile {
            disk: self.clone(),
            inode: inode.ok_or(io::ErrorKind::NotFound)?,
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.begin()?;
        let mut state = self.0.borrow_mut();
        let removed = state.names.remove(name);
        state.pending_names.push((name.to_owned(), None));
        removed.map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn sync_names(&self) -> io::Result<()> {
        self.begin()?;
        let mut state = self.0.borrow_mut();
        state.pending_names.clear();
        state.durable_names = state.names.clone();
        Ok(())
    }
}

impl DiskFile for SimulatedFile {
    fn read(&self, max_bytes: usize) -> io::Result<Vec<u8>> {
        self.disk.begin()?;
        let state = self.disk.0.borrow();
        let cached = &state.inodes[self.inode].cached;
        Ok(cached[..cached.len().min(max_bytes)].to_vec())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let result = self.disk.begin();
        let mut state = self.disk.0.borrow_mut();
        if state.has_stopped() {
            return result;
        }
        let mut random = Random::new(state.random ^ state.operations);
        // A failed write leaves any part behind.
        let written = match result {
            Ok(()) => bytes.len(),
            Err(_) => usize::try_from(random.below(bytes.len() as u64 + 1)).expect("a length"),
        };
        let offset = usize::try_from(offset).expect("a small file");
        let change = Change::Bytes(offset, bytes[..written].to_vec());
        state.inodes[self.inode].change(change);
        result
    }

    fn sync(&mut self) -> io::Result<()> {
        let result = self.disk.begin();
        let mut state = self.disk.0.borrow_mut();
        let mut random = Random::new(state.random ^ state.operations);
        if result.is_err() && state.stops_at.is_some_and(|stop| state.operations > stop) {
            return result;
        }
        let inode = &mut state.inodes[self.inode];
        // After a failure the pages count as written, whether they are or not.
        for change in std::mem::take(&mut inode.pending) {
            for part in change.sectors() {
                if result.is_ok() || random.one_in(2) {
                    part.apply(&mut inode.durable);
                }
            }
        }
        result
    }
}
