//! Memory: how much there may be, and whether it can be had as plasmad wants it.

use std::fs;
use std::io;

use plasmad_shm::{memfd, populate};

use super::{Check, Verdict};
use crate::config::Settings;
use crate::error::Failure;
use crate::memory::RESERVE_BYTES;
use crate::memory::machine::{self, Bound};
use crate::size;

/// What was seen of the machine's memory.
pub(super) struct Facts {
    limit: Bound,
    available: Bound,
    /// The arena `serve` would make.
    asked: Result<u64, Failure>,
    populated: io::Result<()>,
    pub(super) huge: Huge,
    pub(super) memfd: Result<(), String>,
}

/// What was seen of huge pages.
pub(super) struct Huge {
    /// `/sys/kernel/mm/transparent_hugepage/shmem_enabled`; `None` where the kernel has no such pages.
    shmem_enabled: Option<String>,
    /// MADV_COLLAPSE is there: Linux 6.1.
    collapses: bool,
    /// Reserved ones that nobody has.
    reserved_free: u64,
}

impl Facts {
    pub(super) fn look(settings: &Settings) -> Self {
        let limit = machine::limit();
        let asked = settings.memory_bytes(&limit);
        let tried = memfd::create("plasmad-doctor", TRIED_BYTES);
        let (populated, memfd) = match tried {
            Ok(fd) => {
                let sealed = memfd::check_seals(&fd).map(|_| ()).map_err(|error| error.to_string());
                (populate::populate(&fd, 0, TRIED_BYTES), sealed)
            }
            Err(error) => (Err(io::Error::from(error.kind())), Err(error.to_string())),
        };
        Self { limit, available: machine::available(), asked, populated, huge: Huge::look(), memfd }
    }

    /// What objects may take; what is on disk is measured against it.
    pub(super) fn wanted_bytes(&self) -> u64 {
        *self.asked.as_ref().unwrap_or(&self.limit.bytes)
    }
}

impl Huge {
    fn look() -> Self {
        let read = |path: &str| fs::read_to_string(path).ok();
        let chosen = |text: String| Some(text.split_once('[')?.1.split_once(']')?.0.to_owned());
        let release = read("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            shmem_enabled: read("/sys/kernel/mm/transparent_hugepage/shmem_enabled").and_then(chosen),
            collapses: super::system::version(&release).is_some_and(|version| version >= (6, 1)),
            reserved_free: read("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages")
                .and_then(|text| text.trim().parse().ok())
                .unwrap_or(0),
        }
    }
}

pub(super) fn memory_limit(facts: &Facts) -> Check {
    let (limit, available) = (size::display(facts.limit.bytes), size::display(facts.available.bytes));
    let found = format!("{} is {limit}, {} is {available}", facts.limit.name, facts.available.name);
    match &facts.asked {
        _ if facts.limit.bytes == 0 => {
            Verdict::new("memory_limit", "no limit can be read from /proc/meminfo", "a mounted /proc")
                .fail("mount -t proc proc /proc")
        }
        Err(failure) => Verdict::new("memory_limit", format!("{found}; {}", failure.message), "an arena that fits")
            .fail(format!("{}: plasmad serve --memory 30%", failure.hint)),
        Ok(asked) => {
            let verdict = Verdict::new("memory_limit", found, format!("{} for the arena", size::display(*asked)));
            if *asked > facts.available.bytes {
                let room = size::display(facts.available.bytes.saturating_sub(RESERVE_BYTES));
                return verdict.warn(format!(
                    "end something that takes memory, or ask for less than {room}: plasmad serve --memory SIZE"
                ));
            }
            verdict.ok()
        }
    }
}

pub(super) fn population(facts: &Facts) -> Check {
    let wanted = "MADV_POPULATE_WRITE works, and more than 256 MiB of memory are left for others";
    if let Err(error) = &facts.populated {
        let found = format!("{} can't be made ready ahead of use: {error}", size::display(TRIED_BYTES));
        return Verdict::new("population", found, wanted)
            .fail("use Linux 5.14 or newer, let containers call madvise, or run: plasmad serve --populate none");
    }
    let left = size::display(facts.available.bytes);
    let found =
        format!("{} were made ready ahead of use; {} is {left}", size::display(TRIED_BYTES), facts.available.name);
    let verdict = Verdict::new("population", found, wanted);
    if facts.available.bytes < RESERVE_BYTES + TRIED_BYTES {
        return verdict.warn("end something that takes memory: first touches of pages will be slow till then");
    }
    verdict.ok()
}

pub(super) fn huge_pages(huge: &Huge) -> Check {
    let wanted = "2 MiB pages for shared memory (this version works with 4 KiB pages all the same)";
    let shmem = huge.shmem_enabled.as_deref();
    let found = format!(
        "shmem_enabled is {}, MADV_COLLAPSE is {}, {} reserved huge pages are free",
        shmem.unwrap_or("not there"),
        if huge.collapses { "there" } else { "not there" },
        huge.reserved_free
    );
    let verdict = Verdict::new("huge_pages", found, wanted);
    match shmem {
        // Collapsing works even where shmem_enabled is "never".
        Some("deny") => verdict.warn("echo advise > /sys/kernel/mm/transparent_hugepage/shmem_enabled"),
        Some(_) if huge.collapses => verdict.ok(),
        Some("always" | "within_size" | "force") => verdict.ok(),
        _ if huge.reserved_free > 0 => verdict.ok(),
        Some(_) => verdict
            .warn("use Linux 6.1 or newer, or: echo within_size > /sys/kernel/mm/transparent_hugepage/shmem_enabled"),
        None => verdict.warn("use a kernel with CONFIG_TRANSPARENT_HUGEPAGE, or: sysctl vm.nr_hugepages=512"),
    }
}

pub(super) fn memfd(tried: &Result<(), String>) -> Check {
    let wanted = "a memory file with fd seals SHRINK, GROW and SEAL";
    match tried {
        Ok(()) => Verdict::new("memfd", "one was made and sealed", wanted).ok(),
        Err(error) => Verdict::new("memfd", format!("none can be had: {error}"), wanted)
            .fail("let the container's seccomp profile allow memfd_create and fcntl, and mount /proc"),
    }
}

/// One huge page's worth.
const TRIED_BYTES: u64 = 2 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status::{Fail, Ok as Fine, Warn};

    fn facts(limit: u64, available: u64, asked: Result<u64, Failure>) -> Facts {
        Facts {
            limit: Bound { bytes: limit, name: "the memory limit of cgroup /x".to_owned() },
            available: Bound { bytes: available, name: "what is left in cgroup /x".to_owned() },
            asked,
            populated: Ok(()),
            huge: huge(Some("never"), true, 0),
            memfd: Ok(()),
        }
    }

    fn huge(shmem_enabled: Option<&str>, collapses: bool, reserved_free: u64) -> Huge {
        Huge { shmem_enabled: shmem_enabled.map(str::to_owned), collapses, reserved_free }
    }

    #[test]
    fn memory_that_can_never_be_had_fails_and_memory_in_use_warns() {
        assert_eq!(memory_limit(&facts(4 << 30, 3 << 30, Ok(1 << 30))).status, Fine);
        let tight = memory_limit(&facts(4 << 30, 1 << 30, Ok(2 << 30)));
        assert_eq!(tight.status, Warn);
        assert!(tight.found.contains("cgroup /x is 1.0 GiB") && tight.fix.contains("768.0 MiB"), "{tight:?}");
        let refused = Failure::usage("PLASMAD_MEMORY asks for 9.0 GiB").hint("ask for less");
        let never = memory_limit(&facts(4 << 30, 3 << 30, Err(refused)));
        assert_eq!(never.status, Fail);
        assert!(never.found.contains("asks for 9.0 GiB") && never.fix.contains("--memory"), "{never:?}");
        assert_eq!(memory_limit(&facts(0, 0, Ok(0))).status, Fail);
    }

    #[test]
    fn population_fails_where_the_call_is_refused_and_warns_where_memory_is_short() {
        assert_eq!(population(&facts(4 << 30, 3 << 30, Ok(1))).status, Fine);
        assert_eq!(population(&facts(4 << 30, 200 << 20, Ok(1))).status, Warn);
        let refused = Facts { populated: Err(io::Error::from_raw_os_error(22)), ..facts(4 << 30, 3 << 30, Ok(1)) };
        let check = population(&refused);
        assert_eq!(check.status, Fail);
        assert!(check.found.contains("Invalid argument") && check.fix.contains("--populate none"), "{check:?}");
    }

    #[test]
    fn huge_pages_that_cannot_be_had_are_a_warning_with_the_command() {
        for fine in [huge(Some("never"), true, 0), huge(Some("always"), false, 0), huge(None, false, 3)] {
            assert_eq!(huge_pages(&fine).status, Fine);
        }
        for (poor, fix) in [
            (huge(Some("never"), false, 0), "6.1"),
            (huge(Some("deny"), true, 0), "echo advise"),
            (huge(None, true, 0), "vm.nr_hugepages"),
        ] {
            let check = huge_pages(&poor);
            assert_eq!(check.status, Warn);
            assert!(check.fix.contains(fix), "{check:?}");
        }
    }

    #[test]
    fn memory_files_that_are_forbidden_fail() {
        assert_eq!(memfd(&Ok(())).status, Fine);
        let check = memfd(&Err("Operation not permitted".to_owned()));
        assert_eq!(check.status, Fail);
        assert!(check.fix.contains("seccomp"), "{check:?}");
    }
}
