//! Who runs where: what is to meet in time needs a processor each.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// Keeps this thread, and what it starts, to one of these processors.
pub(super) fn run_on(processors: &[usize], number: usize) {
    let mut one = CpuSet::new();
    one.set(processors[number % processors.len()]).unwrap();
    sched_setaffinity(Pid::from_raw(0), &one).unwrap();
}

/// Those this thread may use.
pub(super) fn processors() -> Vec<usize> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap();
    (0..CpuSet::count()).filter(|number| allowed.is_set(*number).unwrap()).collect()
}
