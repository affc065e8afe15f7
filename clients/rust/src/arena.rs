//! The daemon's memory, as this process sees it.
//!
//! Invariant: gets only ever hand out read-only memory; the writable mapping is for unsealed objects alone.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use plasmad_shm::mapping::{ReadMapping, SealedBytes, UnsealedBytes, WriteMapping};
use plasmad_shm::memfd;
use plasmad_wire::Location;
use plasmad_wire::response::{CreatedObject, Welcome};

use crate::error::{Error, Result};
use crate::handshake::fds_wanted;

/// Every segment, mapped whole.
#[derive(Debug)]
pub(crate) struct Arena {
    reading: Vec<Arc<ReadMapping>>,
    /// Empty for readers.
    writing: Vec<Arc<WriteMapping>>,
}

impl Arena {
    /// Maps what came with the welcome, after looking at its fd seals.
    pub(crate) fn map(welcome: &Welcome, fds: Vec<OwnedFd>) -> Result<Self> {
        if welcome.segments == 0 || fds.len() != fds_wanted(welcome) {
            let sentence = format!("{} descriptors came with a welcome of {} segments", fds.len(), welcome.segments);
            return Err(Error::protocol(sentence));
        }
        let (read_only, writable) = fds.split_at(welcome.segments.into());
        let reading = read_only.iter().map(|fd| {
            let bytes = memfd::check_seals(fd).map_err(|error| Error::protocol(error.to_string()))?;
            ReadMapping::new(fd, bytes).map(Arc::new).map_err(unmappable)
        });
        let writing = writable.iter().map(|fd| {
            let bytes = memfd::check_seals(fd).map_err(|error| Error::protocol(error.to_string()))?;
            WriteMapping::new(fd, bytes).map(Arc::new).map_err(unmappable)
        });
        Ok(Self { reading: reading.collect::<Result<_>>()?, writing: writing.collect::<Result<_>>()? })
    }

    /// The data and, behind it, the metadata of a pinned object.
    pub(crate) fn sealed(&self, location: &Location) -> Option<(SealedBytes, SealedBytes)> {
        let mapping = self.reading.get(usize::from(location.segment))?;
        let data = SealedBytes::new(mapping.clone(), location.offset, location.data_bytes)?;
        let behind = location.offset.checked_add(location.data_bytes)?;
        Some((data, SealedBytes::new(mapping.clone(), behind, location.metadata_bytes.into())?))
    }

    /// The memory of an object to be written, data and metadata.
    pub(crate) fn unsealed(&self, object: &CreatedObject, bytes: u64) -> Option<UnsealedBytes> {
        let mapping = self.writing.get(usize::from(object.segment))?;
        UnsealedBytes::new(mapping.clone(), object.offset, bytes)
    }
}

fn unmappable(error: std::io::Error) -> Error {
    Error::not_done(format!("the store's memory can't be mapped ({error}): is there a limit on address space?"))
}
