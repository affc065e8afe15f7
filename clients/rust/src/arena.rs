//! The daemon's memory, as this process sees it.
//!
//! Invariant: gets only ever hand out read-only memory; the writable mapping is for unsealed objects alone.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use plasmad_shm::index::Place;
use plasmad_shm::mapping::{ReadMapping, UnsealedBytes, WriteMapping};
use plasmad_shm::memfd;
use plasmad_wire::Location;
use plasmad_wire::response::CreatedObject;

use crate::error::{Error, Result};

/// Every segment, mapped whole.
#[derive(Debug)]
pub(crate) struct Arena {
    reading: Vec<ReadMapping>,
    /// Empty for readers.
    writing: Vec<Arc<WriteMapping>>,
}

impl Arena {
    /// Maps the segments to read and, behind them, to write, after looking at their fd seals.
    pub(crate) fn map(segments: usize, fds: Vec<OwnedFd>) -> Result<Self> {
        let (read_only, writable) = fds.split_at(segments);
        let reading = read_only.iter().map(|fd| {
            let bytes = memfd::check_seals(fd).map_err(|error| Error::protocol(error.to_string()))?;
            ReadMapping::new(fd, bytes).map_err(unmappable)
        });
        let writing = writable.iter().map(|fd| {
            let bytes = memfd::check_seals(fd).map_err(|error| Error::protocol(error.to_string()))?;
            WriteMapping::new(fd, bytes).map(Arc::new).map_err(unmappable)
        });
        Ok(Self { reading: reading.collect::<Result<_>>()?, writing: writing.collect::<Result<_>>()? })
    }

    /// The bytes of an object pinned in the index, data and metadata; `None` if it doesn't lie in the arena.
    #[inline]
    pub(crate) fn bytes_at(&self, place: &Place) -> Option<&[u8]> {
        let mapping = self.reading.get(usize::from(place.segment))?;
        // 47 and 17 bits: the sum can't overflow.
        mapping.sealed_bytes(place.offset, place.data_bytes + u64::from(place.metadata_bytes))
    }

    /// The data and, behind it, the metadata of a pinned object; `None` if it doesn't lie in the arena.
    pub(crate) fn sealed(&self, location: &Location) -> Option<(&[u8], &[u8])> {
        let mapping = self.reading.get(usize::from(location.segment))?;
        let bytes = location.data_bytes.checked_add(location.metadata_bytes.into())?;
        Some(mapping.sealed_bytes(location.offset, bytes)?.split_at(location.data_bytes as usize))
    }

    /// Writes an object into a place of this client's; `false` if that doesn't lie in the arena.
    #[inline]
    pub(crate) fn write(&self, segment: u16, offset: u64, data: &[u8], metadata: &[u8]) -> bool {
        let Some(mapping) = self.writing.get(usize::from(segment)) else { return false };
        mapping.write(offset, data) && mapping.write(offset + data.len() as u64, metadata)
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
