//! Am I still the process that made this? One load, where asking the kernel for the pid is a system call.
//!
//! A private page that the kernel wipes in a forked child holds the process's token; a child finds zero there and
//! takes the next one. A process's token differs from all its ancestors'.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_keeps_its_token_and_a_wiped_page_gives_another() {
        let before = process_token();
        assert_eq!(process_token(), before);
        // What a fork does to the page.
        word().store(0, Relaxed);
        assert_ne!(process_token(), before);
    }
}
