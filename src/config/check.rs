//! What a configuration needs of this machine, looked at without serving.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;

use nix::fcntl::OFlag;
use plasmad_wire::limits::SOCKET_PATH_BYTES_MAX;

use super::Config;
use crate::error::Failure;

/// What `--check-config` looks at: all that `serve` would find wrong before it serves.
pub fn check(config: &Config) -> Result<(), Failure> {
    check_socket_path(&config.socket)?;
    check_folder(&config.socket)
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
