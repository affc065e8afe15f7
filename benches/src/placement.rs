//! Which processor a process runs on while something is measured.
//!
//! Where the kernel puts the two ends of a socket decides more about a round trip than everything else: on one
//! processor the wake-up costs a switch, on two an interrupt to a processor that sleeps. So both sides of a ratio get
//! the same places: the measuring thread on one processor, whoever answers on another.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// Threads on their places, until this is dropped.
#[derive(Debug)]
pub(crate) struct Placement {
    before: Vec<(Pid, CpuSet)>,
    is_apart: bool,
}

impl Placement {
    /// The calling thread and `here` on the first processor this process may use, `there` on the second. Where there
    /// is only one, nothing is moved.
    pub(crate) fn apart(here: &[u32], there: &[u32]) -> Self {
        let mut placement = Self { before: Vec::new(), is_apart: false };
        let [first, second] = processors()[..] else { return placement };
        let own = std::iter::once((0, first));
        let others = here.iter().map(|pid| (*pid, first)).chain(there.iter().map(|pid| (*pid, second)));
        let moved: Vec<bool> = own.chain(others).map(|(pid, processor)| placement.put(pid, processor)).collect();
        placement.is_apart = moved.into_iter().all(|moved| moved);
        placement
    }

    /// Where they are, for a row's note.
    pub(crate) fn note(&self) -> &'static str {
        if self.is_apart { "pinned: this end and the other on two processors" } else { "not pinned to processors" }
    }

    fn put(&mut self, pid: u32, processor: usize) -> bool {
        let pid = Pid::from_raw(pid as i32);
        let mut wanted = CpuSet::new();
        let Ok(before) = sched_getaffinity(pid) else { return false };
        let moved = wanted.set(processor).and_then(|()| sched_setaffinity(pid, &wanted));
        if moved.is_ok() {
            self.before.push((pid, before));
        }
        moved.is_ok()
    }
}

impl Drop for Placement {
    fn drop(&mut self) {
        for (pid, before) in &self.before {
            let _ = sched_setaffinity(*pid, before);
        }
    }
}

/// The first two this thread may use.
fn processors() -> Vec<usize> {
    let Ok(own) = sched_getaffinity(Pid::from_raw(0)) else { return Vec::new() };
    (0..CpuSet::count()).filter(|number| own.is_set(*number) == Ok(true)).take(2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_where_it_was_when_the_placement_is_over() {
        let before = sched_getaffinity(Pid::from_raw(0)).unwrap();
        let placement = Placement::apart(&[], &[]);
        let during = sched_getaffinity(Pid::from_raw(0)).unwrap();
        if placement.is_apart {
            assert_eq!((0..CpuSet::count()).filter(|number| during.is_set(*number) == Ok(true)).count(), 1);
        } else {
            assert_eq!(during, before);
        }
        drop(placement);
        assert_eq!(sched_getaffinity(Pid::from_raw(0)).unwrap(), before);
    }
}
