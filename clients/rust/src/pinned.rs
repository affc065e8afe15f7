//! A claim on a sealed object, however it was made, and wherever the object lies.

use std::io;
use std::os::fd::OwnedFd;

use plasmad_shm::file_view::FileView;
use plasmad_shm::index::{Missed, Place};
use plasmad_wire::request::{Release, Ring};
use plasmad_wire::response::GotObject;
use plasmad_wire::value::Pin;
use plasmad_wire::{Format, Location, ObjectId, Request};

use crate::error::{Error, Result};
use crate::session::Session;

/// What keeps an object where it is, and where that is.
#[derive(Debug)]
pub(crate) struct Pinned {
    claim: Claim,
    pub(crate) location: Location,
    /// It lies in this file, and not in the arena.
    view: Option<Box<FileView>>,
}

#[derive(Clone, Copy, Debug)]
enum Claim {
    /// Written by the daemon, for a get over the socket.
    Asked(Pin),
    /// Written by this process, into this cell of its page.
    Own(u32),
}

/// An object pinned without asking, and its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Here<'session> {
    pub(crate) cell: u32,
    pub(crate) place: Place,
    /// Data, and metadata behind it.
    pub(crate) bytes: &'session [u8],
}

impl Session {
    /// Pins an object without asking; `None` proves nothing.
    // As in `Reader::get`.
    #[inline(always)]
    pub(crate) fn pin_here(&self, id: &ObjectId) -> Option<Here<'_>> {
        match self.fast.as_ref()?.pin(id) {
            Ok((cell, place)) => self.here(cell, place),
            Err(missed) => self.pin_put_lately(*id, missed),
        }
    }

    /// Not in the index, or not any more; but what this session put may not be there yet.
    #[cold]
    fn pin_put_lately(&self, id: ObjectId, missed: Missed) -> Option<Here<'_>> {
        if missed.ring {
            self.ring();
        }
        let (cell, place) = self.pin_recent(&id)?;
        self.here(cell, place)
    }

    #[inline]
    fn here(&self, cell: u32, place: Place) -> Option<Here<'_>> {
        let Some(bytes) = self.arena.bytes_at(&place) else {
            self.unpin_here(cell);
            return None;
        };
        Some(Here { cell, place, bytes })
    }

    /// Gives back what [`Self::pin_here`] gave.
    #[inline(always)]
    pub(crate) fn unpin_here(&self, cell: u32) {
        if let Some(fast) = self.fast.as_ref().filter(|_| self.connection.is_own())
            && fast.release(cell)
        {
            self.ring();
        }
    }

    /// As [`Self::pin_here`], for an owner that may outlive this borrow.
    #[inline]
    pub(crate) fn pin(&self, id: &ObjectId) -> Option<Pinned> {
        let Here { cell, place, .. } = self.pin_here(id)?;
        let Some(format) = Format::from_number(place.format) else {
            self.unpin_here(cell);
            return None;
        };
        let location = Location {
            segment: place.segment,
            format,
            metadata_bytes: place.metadata_bytes,
            offset: place.offset,
            data_bytes: place.data_bytes,
        };
        Some(Pinned { claim: Claim::Own(cell), location, view: None })
    }

    /// Wakes the daemon: something happened that it wants to hear of.
    #[cold]
    pub(crate) fn ring(&self) {
        self.connection.tell(&Request::Ring(Ring {}));
    }

    /// A pin of an answer; `None` if the object doesn't lie in the arena.
    pub(crate) fn adopt(&self, object: &GotObject) -> Option<Pinned> {
        self.arena.sealed(&object.location)?;
        self.inheritance.add();
        Some(Pinned { claim: Claim::Asked(object.pin), location: object.location, view: None })
    }

    /// A pin of an answer on an object on disk, which lies there in this file.
    pub(crate) fn adopt_view(&self, pin: Pin, location: Location, file: OwnedFd) -> Result<Pinned> {
        let bytes = location.data_bytes.saturating_add(location.metadata_bytes.into());
        let view = FileView::new(&file, location.offset, bytes).map_err(unmappable)?;
        self.inheritance.add();
        Ok(Pinned { claim: Claim::Asked(pin), location, view: Some(Box::new(view)) })
    }

    /// Gives a claim back, waiting for nothing. In a forked child it is the parent's, and stays.
    pub(crate) fn unpin(&self, pinned: &Pinned) {
        match pinned.claim {
            Claim::Asked(pin) => {
                self.inheritance.remove();
                self.connection.tell(&Request::Release(Release { pins: vec![pin] }));
            }
            Claim::Own(cell) => self.unpin_here(cell),
        }
    }

    /// The data and the metadata of what is pinned.
    pub(crate) fn bytes<'a>(&'a self, pinned: &'a Pinned) -> (&'a [u8], &'a [u8]) {
        match &pinned.view {
            Some(view) => view.split_at(pinned.location.data_bytes as usize),
            None => self.arena.sealed(&pinned.location).expect("looked at when it was pinned"),
        }
    }
}

fn unmappable(error: io::Error) -> Error {
    let limits = "is there a limit on address space, or on mappings (vm.max_map_count)?";
    Error::not_done(format!("an object can't be mapped where it lies on disk ({error}): {limits}"))
}
