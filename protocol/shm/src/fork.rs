//! Forks: am I still the process that made this, and what is to be done around each of them?
//!
//! A private page that the kernel wipes in a forked child holds the process's token; a child finds zero there and
//! takes the next one. A process's token differs from all its ancestors'. To look costs one load, where asking the
//! kernel for the pid is a system call.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use memmap2::{MmapOptions, MmapRaw};

/// This process's token; another one in every forked child.
#[inline]
pub fn process_token() -> u64 {
    match word().load(Relaxed) {
        0 => new_token(),
        token => token,
    }
}

#[cold]
fn new_token() -> u64 {
    // Two threads of a new child may both come here; the first one's token holds.
    let next = LAST.fetch_add(1, Relaxed) + 1;
    word().compare_exchange(0, next, Relaxed, Relaxed).map_or_else(|theirs| theirs, |_| next)
}

#[inline]
fn word() -> &'static AtomicU64 {
    let page = PAGE.get_or_init(|| {
        let page = MmapOptions::new().len(PAGE_BYTES).map_anon().map(MmapRaw::from).expect("a page of memory");
        // SAFETY: the range is exactly the private mapping just made.
        let result = unsafe { libc::madvise(page.as_mut_ptr().cast(), PAGE_BYTES, libc::MADV_WIPEONFORK) };
        // Every Linux since 4.14 can; without it a child could not be told from its parent.
        assert_eq!(result, 0, "MADV_WIPEONFORK is refused: {}", std::io::Error::last_os_error());
        page
    });
    // SAFETY: the page lives as long as the process and is aligned; all access to it is atomic.
    unsafe { AtomicU64::from_ptr(page.as_mut_ptr().cast()) }
}

static PAGE: OnceLock<MmapRaw> = OnceLock::new();
/// The last token taken; a child goes on counting where its parent was.
static LAST: AtomicU64 = AtomicU64::new(0);
const PAGE_BYTES: usize = 4096;

/// What is done around each fork of this process, by the thread that forks. Only fork(2) as libc has it runs these;
/// vfork and posix_spawn don't, and their children inherit no memory of their own.
#[derive(Clone, Copy, Debug)]
pub struct Handlers {
    /// In the parent, before the fork.
    pub before: fn(),
    /// In the parent afterwards, whether there is a child or not.
    pub in_parent: fn(),
    /// In the child, where no other thread is.
    pub in_child: fn(),
}

/// Does so around each fork from here on, also in children. Only the first call counts.
pub fn at_fork(handlers: Handlers) -> io::Result<()> {
    let mut result = 0;
    HANDLERS.get_or_init(|| {
        // SAFETY: the three functions live as long as this code does, and take nothing.
        result = unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
        handlers
    });
    if result == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(result)) }
}

extern "C" fn before() {
    run(|handlers| handlers.before);
}

extern "C" fn in_parent() {
    run(|handlers| handlers.in_parent);
}

extern "C" fn in_child() {
    run(|handlers| handlers.in_child);
}

fn run(which: fn(&Handlers) -> fn()) {
    // A fork between the registration and this being set finds nothing to do.
    if let Some(handlers) = HANDLERS.get() {
        which(handlers)();
    }
}

static HANDLERS: OnceLock<Handlers> = OnceLock::new();

/// Forks for tests, which may have no unsafe code.
#[doc(hidden)]
pub mod testing {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, Pid};

    /// A forked child.
    #[derive(Debug)]
    pub struct Child(Pid);

    impl Child {
        /// Its process id.
        pub fn pid(&self) -> u32 {
            self.0.as_raw() as u32
        }

        /// Waits for its end; `true` if it did its work to the end.
        pub fn wait(self) -> bool {
            matches!(waitpid(self.0, None), Ok(WaitStatus::Exited(_, 0)))
        }
    }

    /// Does some work in a forked child. It must need no lock that another thread of this process may hold.
    ///
    /// # Panics
    /// If the machine gives no process.
    pub fn fork(work: impl FnOnce()) -> Child {
        // SAFETY: the child has one thread; glibc keeps its allocator usable there, and the caller promises the rest.
        match unsafe { nix::unistd::fork() }.expect("a process") {
            ForkResult::Parent { child } => Child(child),
            ForkResult::Child => {
                let worked = catch_unwind(AssertUnwindSafe(work)).is_ok();
                // SAFETY: ends the process at once; nothing of it is needed any more.
                unsafe { libc::_exit(i32::from(!worked)) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[test]
    fn a_process_keeps_its_token_and_its_children_have_others() {
        let first = process_token();
        let child = testing::fork(|| {
            let second = process_token();
            assert_eq!(process_token(), second);
            let grandchild = testing::fork(|| assert!(![first, second].contains(&process_token())));
            assert!(second != first && grandchild.wait());
        });
        assert!(child.wait());
        assert_eq!(process_token(), first);
    }

    #[test]
    fn handlers_run_around_each_fork_where_they_should() {
        static RAN: [AtomicU32; 3] = [const { AtomicU32::new(0) }; 3];
        let ran = || RAN.each_ref().map(|count| count.load(Relaxed));
        at_fork(Handlers {
            before: || _ = RAN[0].fetch_add(1, Relaxed),
            in_parent: || _ = RAN[1].fetch_add(1, Relaxed),
            in_child: || _ = RAN[2].fetch_add(1, Relaxed),
        })
        .unwrap();
        // Other tests of this program may fork meanwhile, each with all that it runs; in a child it is quiet.
        let child = testing::fork(|| {
            let [before, in_parent, in_child] = ran();
            assert!(before > in_parent && in_child == 1);
            assert!(testing::fork(|| assert_eq!(ran()[2], 2)).wait());
            assert_eq!(ran(), [before + 1, in_parent + 1, in_child]);
        });
        assert!(child.wait());
        assert!(ran()[1] > 0 && ran()[2] == 0);
    }
}
