//! The machine below, as the document tells it.

use std::fs;

use nix::unistd::{SysconfVar, sysconf};
use serde_json::{Value, json};

pub(crate) fn document() -> Value {
    json!({
        "cpu": cpu(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default()),
        "cores": std::thread::available_parallelism().map_or(0, |cores| cores.get()),
        "kernel": fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
        "page_bytes": sysconf(SysconfVar::PAGE_SIZE).ok().flatten().unwrap_or(0),
    })
}

/// Only x86 has names in there; elsewhere the architecture must do.
fn cpu(cpuinfo: &str) -> String {
    let named = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    named.map_or(std::env::consts::ARCH, |(_, name)| name.trim()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_has_a_name() {
        assert_eq!(cpu("processor\t: 0\nmodel name\t: Some CPU: fast\n"), "Some CPU: fast");
        assert_eq!(cpu("processor\t: 0\nCPU part\t: 0xd0c\n"), std::env::consts::ARCH);
    }
}
