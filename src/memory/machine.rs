//! What this machine can give: its own memory, and every cgroup level above this process.
//!
//! Both cgroup versions are read, each at every level from this process's own up to the root: a limit anywhere
//! binds. A level that isn't visible from inside a container can't be read, and is passed over.

use std::fs;
use std::path::{Path, PathBuf};

/// A bound on memory, and whose it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bound {
    /// How much.
    pub bytes: u64,
    /// For the error text: "the memory limit of cgroup /docker/x".
    pub name: String,
}

/// The least this process may ever use.
pub fn limit() -> Bound {
    let machine = Bound { bytes: meminfo("MemTotal:"), name: "this machine's memory".to_owned() };
    let levels = levels().into_iter().filter_map(|level| {
        let bytes = level.read(level.files.limit)?;
        Some(Bound { bytes, name: format!("the memory limit of cgroup {}", level.name()) })
    });
    levels.chain([machine]).min_by_key(|bound| bound.bytes).expect("the machine is always there")
}

/// The least this process may use on top of what is used now.
pub fn available() -> Bound {
    let machine = Bound { bytes: meminfo("MemAvailable:"), name: "this machine's available memory".to_owned() };
    let levels = levels().into_iter().filter_map(|level| {
        let (limit, used) = (level.read(level.files.limit)?, level.read(level.files.usage)?);
        // Cached files count as used, but go when memory is wanted.
        let bytes = limit.saturating_sub(used.saturating_sub(level.reclaimable()));
        Some(Bound { bytes, name: format!("what is left in cgroup {}", level.name()) })
    });
    levels.chain([machine]).min_by_key(|bound| bound.bytes).expect("the machine is always there")
}

/// Reserved huge pages of 2 MiB that nobody has or is promised.
pub fn huge_pages_free() -> u64 {
    let read =
        |file: &str| -> Option<u64> { fs::read_to_string(Path::new(HUGE_PAGES).join(file)).ok()?.trim().parse().ok() };
    let promised = read("resv_hugepages").unwrap_or(0);
    read("free_hugepages").map_or(0, |free| free.saturating_sub(promised))
}

/// One directory of a cgroup hierarchy.
struct Level {
    directory: PathBuf,
    files: &'static Files,
}

/// Where a version of cgroups keeps its numbers.
struct Files {
    root: &'static str,
    limit: &'static str,
    usage: &'static str,
    inactive_file: &'static str,
}

impl Level {
    /// A number from one of the level's files; "max" is none.
    fn read(&self, file: &str) -> Option<u64> {
        fs::read_to_string(self.directory.join(file)).ok()?.trim().parse().ok()
    }

    fn reclaimable(&self) -> u64 {
        let stat = fs::read_to_string(self.directory.join("memory.stat")).unwrap_or_default();
        field(&stat, self.files.inactive_file)
    }

    fn name(&self) -> String {
        let below = self.directory.strip_prefix(self.files.root).unwrap_or(&self.directory);
        format!("/{}", below.display())
    }
}

fn levels() -> Vec<Level> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    own.lines().filter_map(hierarchy).flat_map(|(files, path)| levels_of(files, &path)).collect()
}

/// Which hierarchy a line of `/proc/self/cgroup` is of, and where in it: `0::/a/b` or `4:memory:/a/b`.
fn hierarchy(line: &str) -> Option<(&'static Files, String)> {
    let mut parts = line.splitn(3, ':');
    let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    let files = match (number, controllers) {
        ("0", "") => &VERSION_2,
        (_, names) if names.split(',').any(|name| name == "memory") => &VERSION_1,
        _ => return None,
    };
    Some((files, path.to_owned()))
}

fn levels_of(files: &'static Files, path: &str) -> Vec<Level> {
    let below = Path::new(path.trim_start_matches('/'));
    let directories = below.ancestors().map(|ancestor| Path::new(files.root).join(ancestor));
    directories.map(|directory| Level { directory, files }).collect()
}

fn meminfo(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    field(&text, name) * 1024
}

/// The number behind a name at the start of a line.
fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or(0)
}

const HUGE_PAGES: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB";

const VERSION_1: Files = Files {
    root: "/sys/fs/cgroup/memory",
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    inactive_file: "total_inactive_file ",
};

const VERSION_2: Files =
    Files { root: "/sys/fs/cgroup", limit: "memory.max", usage: "memory.current", inactive_file: "inactive_file " };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_has_memory_and_some_of_it_is_free() {
        let (limit, available) = (limit(), available());
        assert!(limit.bytes > 0 && available.bytes > 0, "{limit:?} {available:?}");
        assert!(available.bytes <= meminfo("MemTotal:"));
    }

    #[test]
    fn both_versions_of_cgroups_are_walked_up_to_the_root() {
        let directories = |line: &str| -> Vec<PathBuf> {
            let (files, path) = hierarchy(line).unwrap();
            levels_of(files, &path).into_iter().map(|level| level.directory).collect()
        };
        let roots = ["/sys/fs/cgroup/a/b", "/sys/fs/cgroup/a", "/sys/fs/cgroup/"];
        assert_eq!(directories("0::/a/b"), roots.map(PathBuf::from));
        assert_eq!(directories("9:memory:/").len(), 1);
        assert!(hierarchy("3:cpu,cpuacct:/a").is_none());
    }
}
