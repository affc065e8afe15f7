//! What a configuration needs of this machine, looked at without serving.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;

use nix::fcntl::OFlag;
use plasmad_shm::populate::HUGE_PAGE_BYTES;
use plasmad_wire::limits::SOCKET_PATH_BYTES_MAX;

use super::{Config, HugePages};
use crate::error::{Exit, Failure};
use crate::memory::machine;
use crate::spill::folder;

/// What `--check-config` looks at: all that `serve` would find wrong before it serves.
pub fn check(config: &Config) -> Result<(), Failure> {
    check_socket_path(&config.socket)?;
    check_huge_pages(config)?;
    let given = config.spill.as_ref().and_then(|spill| spill.directory.as_deref());
    given.map_or(Ok(()), folder::check)?;
    check_folder(&config.socket)
}

/// Where the arena is to be made of reserved huge pages, there are enough of them.
pub(crate) fn check_huge_pages(config: &Config) -> Result<(), Failure> {
    if config.huge_pages != HugePages::Always {
        return Ok(());
    }
    enough_huge_pages(config.memory_bytes / HUGE_PAGE_BYTES as u64, machine::huge_pages_free())
}

fn enough_huge_pages(needed: u64, free: u64) -> Result<(), Failure> {
    if needed <= free {
        return Ok(());
    }
    let what = format!("huge-pages always takes {needed} reserved huge pages of 2 MiB, and {free} are free");
    let hint = format!("reserve more: sysctl vm.nr_hugepages={needed}; or ask for less --memory, or --huge-pages auto");
    Err(Failure::new(Exit::Usage, "MemoryUnavailable", what).hint(hint))
}

/// The socket's path can be one, and nothing else is in its place.
pub fn check_socket_path(socket: &Path) -> Result<(), Failure> {
    let bytes = socket.as_os_str().len();
    if socket.to_str().is_none_or(|text| text.is_empty() || text.contains('\0')) {
        let what = format!("the socket's path is empty or no text: {socket:?}");
        return Err(Failure::usage(what).hint("write a path in UTF-8, such as /run/plasmad/socket"));
    }
    if bytes > SOCKET_PATH_BYTES_MAX {
        let what = format!("the socket's path has {bytes} bytes: {}", socket.display());
        return Err(Failure::usage(what).hint(format!("a Unix socket's path has at most {SOCKET_PATH_BYTES_MAX}")));
    }
    match fs::symlink_metadata(socket) {
        Ok(found) if !found.file_type().is_socket() => {
            let what = format!("{} is there already and is no socket", socket.display());
            Err(Failure::usage(what).hint("choose another path, or remove it"))
        }
        _ => Ok(()),
    }
}

fn check_folder(socket: &Path) -> Result<(), Failure> {
    let folder = folder_of(socket);
    let shown = folder.display();
    let found = fs::metadata(folder).map_err(|error| {
        Failure::usage(format!("the socket's folder {shown} can't be used: {error}")).hint(format!("mkdir -p {shown}"))
    })?;
    if !found.is_dir() {
        return Err(Failure::usage(format!("the socket's folder {shown} is no folder")).hint("choose another path"));
    }
    try_socket(folder).map_err(|error| {
        Failure::usage(format!("no socket can be made in {shown}: {error}"))
            .hint("choose a folder that plasmad's user may write to")
    })
}

/// The folder a socket lies in.
pub(crate) fn folder_of(socket: &Path) -> &Path {
    socket.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes a socket and removes it; through a descriptor, as a long path leaves no room for another name.
pub(crate) fn try_socket(folder: &Path) -> io::Result<()> {
    let options = OFlag::O_DIRECTORY | OFlag::O_PATH;
    let folder = OpenOptions::new().read(true).custom_flags(options.bits()).open(folder)?;
    let through = format!("/proc/self/fd/{}", folder.as_raw_fd());
    let made = tempfile::Builder::new().prefix(".plasmad-doctor-").make_in(through, |path| UnixListener::bind(path))?;
    made.close()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_reserved_huge_pages_are_refused_with_the_command_that_reserves_them() {
        assert!(enough_huge_pages(512, 512).is_ok());
        let failure = enough_huge_pages(512, 511).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.message.contains("takes 512") && failure.message.contains("511 are free"), "{failure}");
        assert!(failure.hint.contains("sysctl vm.nr_hugepages=512"), "{failure}");
    }
}
