//! Memory: how much there may be, and whether it can be had as plasmad wants it.

use std::fs;
use std::io;

use plasmad_shm::populate::HUGE_PAGE_BYTES;
use plasmad_shm::{memfd, populate};

use super::daemon::Memory;
use super::{Check, Verdict};
use crate::config::{HugePages, Settings};
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
    /// What `serve` would do.
    wanted: HugePages,
    /// 2 MiB of shared memory became one.
    made: Result<(), String>,
    /// `/sys/kernel/mm/transparent_hugepage/shmem_enabled`; `None` where the kernel has no such pages.
    shmem_enabled: Option<String>,
    /// The kernel knows how to make one of memory that is there: Linux 6.1.
    collapses: bool,
    /// Reserved ones that nobody has.
    reserved_free: u64,
    /// How many an arena made of them would take.
    reserved_needed: u64,
}

impl Facts {
    pub(super) fn look(settings: &Settings) -> Self {
        let limit = machine::limit();
        let asked = settings.memory_bytes(&limit);
        let tried = memfd::create("plasmad-doctor", TRIED_BYTES);
        let (populated, made, memfd) = match tried {
            Ok(fd) => {
                let sealed = memfd::check_seals(&fd).map(|_| ()).map_err(|error| error.to_string());
                let made = populate::collapse(&fd, 0, TRIED_BYTES).map_err(|error| error.to_string());
                (populate::populate(&fd, 0, TRIED_BYTES), made, sealed)
            }
            Err(error) => (Err(io::Error::from(error.kind())), Err(error.to_string()), Err(error.to_string())),
        };
        let huge = Huge::look(settings, asked.as_ref().map_or(0, |bytes| *bytes), made);
        Self { limit, available: machine::available(), asked, populated, huge, memfd }
    }

    /// What objects may take; what is on disk is measured against it.
    pub(super) fn wanted_bytes(&self) -> u64 {
        *self.asked.as_ref().unwrap_or(&self.limit.bytes)
    }
}

impl Huge {
    fn look(settings: &Settings, asked_bytes: u64, made: Result<(), String>) -> Self {
        let read = |path: &str| fs::read_to_string(path).ok();
        let chosen = |text: String| Some(text.split_once('[')?.1.split_once(']')?.0.to_owned());
        let release = read("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            wanted: settings.huge_pages(),
            made,
            shmem_enabled: read("/sys/kernel/mm/transparent_hugepage/shmem_enabled").and_then(chosen),
            collapses: super::system::version(&release).is_some_and(|version| version >= (6, 1)),
            reserved_free: machine::huge_pages_free(),
            reserved_needed: asked_bytes.div_ceil(HUGE_PAGE_BYTES as u64),
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

/// What can be had, and what a daemon that serves already has got.
pub(super) fn huge_pages(huge: &Huge, served: Option<Memory>) -> Check {
    let found = match (huge.wanted, &huge.made) {
        (HugePages::Always, _) => format!("{} reserved huge pages of 2 MiB are free", huge.reserved_free),
        (HugePages::Auto | HugePages::Never, Ok(())) => "2.0 MiB of shared memory were made one huge page".to_owned(),
        (HugePages::Auto | HugePages::Never, Err(error)) => {
            let shmem = huge.shmem_enabled.as_deref().unwrap_or("not there");
            format!("no huge page can be made of shared memory: {error}; shmem_enabled is {shmem}")
        }
    };
    let has_some = served.is_some_and(|memory| memory.huge_bytes > 0);
    let served = served.map(|memory| {
        let (present, huge) = (size::display(memory.present_bytes), size::display(memory.huge_bytes));
        format!("; of the daemon's {present}, {huge} are in huge pages")
    });
    let wanted = match huge.wanted {
        HugePages::Always => format!("{} reserved huge pages of 2 MiB for the arena", huge.reserved_needed),
        HugePages::Auto => "huge pages of 2 MiB (small ones do too, but each first touch of them costs)".to_owned(),
        HugePages::Never => "none, as huge-pages is never".to_owned(),
    };
    let verdict = Verdict::new("huge_pages", found + &served.unwrap_or_default(), wanted);
    match huge.wanted {
        HugePages::Never => verdict.ok(),
        // A daemon that serves already may have taken them.
        HugePages::Always if huge.reserved_free >= huge.reserved_needed || has_some => verdict.ok(),
        HugePages::Always => verdict
            .fail(format!("sysctl vm.nr_hugepages={}, or: plasmad serve --huge-pages auto", huge.reserved_needed)),
        HugePages::Auto if huge.made.is_ok() => verdict.ok(),
        HugePages::Auto => verdict.warn(match huge.shmem_enabled.as_deref() {
            None => {
                "use a kernel with CONFIG_TRANSPARENT_HUGEPAGE; or sysctl vm.nr_hugepages=N and --huge-pages always"
            }
            Some("deny") => "echo never > /sys/kernel/mm/transparent_hugepage/shmem_enabled",
            Some(_) if !huge.collapses => "use Linux 6.1 or newer; or sysctl vm.nr_hugepages=N and --huge-pages always",
            Some(_) => "end something that takes memory: 2 MiB in one piece are hard to come by",
        }),
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
            huge: huge(HugePages::Auto, true, Some("never"), true),
            memfd: Ok(()),
        }
    }

    fn huge(wanted: HugePages, made: bool, shmem_enabled: Option<&str>, collapses: bool) -> Huge {
        let made = if made { Ok(()) } else { Err("Invalid argument".to_owned()) };
        let shmem_enabled = shmem_enabled.map(str::to_owned);
        Huge { wanted, made, shmem_enabled, collapses, reserved_free: 7, reserved_needed: 8 }
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
    fn huge_pages_that_cannot_be_had_are_a_warning_with_what_to_do() {
        let (auto, never) = (HugePages::Auto, HugePages::Never);
        for fine in [huge(auto, true, Some("never"), true), huge(never, false, Some("deny"), true)] {
            assert_eq!(huge_pages(&fine, None).status, Fine);
        }
        for (poor, fix) in [
            (huge(auto, false, Some("never"), false), "6.1"),
            (huge(auto, false, Some("deny"), true), "echo never"),
            (huge(auto, false, Some("never"), true), "in one piece"),
            (huge(auto, false, None, true), "vm.nr_hugepages"),
        ] {
            let check = huge_pages(&poor, None);
            assert_eq!(check.status, Warn);
            assert!(check.found.contains("Invalid argument") && check.fix.contains(fix), "{check:?}");
        }
    }

    #[test]
    fn reserved_huge_pages_that_are_not_there_fail() {
        let few = huge(HugePages::Always, true, Some("never"), true);
        let check = huge_pages(&few, None);
        assert_eq!(check.status, Fail);
        assert!(check.found.starts_with("7 reserved") && check.fix.contains("vm.nr_hugepages=8"), "{check:?}");
        let daemon = Memory { present_bytes: 1 << 30, huge_bytes: 1 << 30 };
        assert_eq!(huge_pages(&few, Some(daemon)).status, Fine);
        assert_eq!(huge_pages(&Huge { reserved_free: 8, ..few }, None).status, Fine);
    }

    #[test]
    fn what_a_daemon_has_got_is_told() {
        let memory = Memory { present_bytes: 3 << 30, huge_bytes: 1 << 30 };
        let check = huge_pages(&huge(HugePages::Auto, true, Some("never"), true), Some(memory));
        assert!(check.found.ends_with("of the daemon's 3.0 GiB, 1.0 GiB are in huge pages"), "{check:?}");
    }

    #[test]
    fn memory_files_that_are_forbidden_fail() {
        assert_eq!(memfd(&Ok(())).status, Fine);
        let check = memfd(&Err("Operation not permitted".to_owned()));
        assert_eq!(check.status, Fail);
        assert!(check.fix.contains("seccomp"), "{check:?}");
    }
}
