//! Puts without the daemon: an object is written into a place granted before, and told of on this client's ring.
//!
//! Invariant: a place is pinned before it is written, and stays so until it stands on the ring; the daemon takes back
//! only what is neither. What was told is there for everybody who asks afterwards: the daemon reads the rings first.
//!
//! ```text
//! take a place, pin it -> write -> tell -> unpin, full fence -> does anybody wait for it? ring
//! ```

use std::sync::Mutex;

use plasmad_shm::index::{Granted, Place};
use plasmad_shm::page::{Entry, EntryKind, Grant as PageGrant, RING_ENTRIES};
use plasmad_wire::request::Grant;
use plasmad_wire::response::CreatedObject;
use plasmad_wire::value::Handle;
use plasmad_wire::{Format, ObjectId, Request, Response};

use crate::connection::{OnStop, lock};
use crate::error::Result;
use crate::fast::Fast;
use crate::interrupt::Interrupt;
use crate::lately::Lately;
use crate::session::Session;
use crate::stock::{Class, Stock};

/// What a client that puts by itself keeps of it.
#[derive(Debug)]
pub(crate) struct Pushing {
    told: Mutex<Told>,
    /// When the socket was last looked at: a daemon that is gone reads no ring.
    looked_at: Lately,
}

#[derive(Debug)]
struct Told {
    stock: Stock,
    /// How many grants were taken from the page.
    taken: u64,
    /// How many entries were told.
    tail: u64,
    /// How many of them when the daemon was last asked to read.
    rung_at: u64,
    /// Objects put lately, which the index may not show yet.
    recent: Vec<Option<Recent>>,
}

/// An object put lately.
#[derive(Clone, Copy, Debug)]
struct Recent {
    /// Among the ids this session made.
    number: u64,
    handle: Handle,
    place: Place,
}

/// An object to be put.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Object<'a> {
    pub(crate) id: ObjectId,
    pub(crate) data_bytes: u64,
    pub(crate) metadata: &'a [u8],
    pub(crate) format: Format,
    pub(crate) evictable: bool,
}

/// What is told of an object: what was done, and where it lies.
struct Telling<'a> {
    kind: EntryKind,
    object: &'a Object<'a>,
    handle: Handle,
    segment: u16,
    offset: u64,
}

impl Pushing {
    pub(crate) fn new() -> Self {
        let (stock, recent) = (Stock::new(), vec![None; RECENT]);
        let told = Told { stock, taken: 0, tail: 0, rung_at: 0, recent };
        Self { told: Mutex::new(told), looked_at: Lately::default() }
    }
}

impl Session {
    /// Puts an object; `false`: ask the daemon as ever. The id must be one that this session made.
    pub(crate) fn put_here(&self, object: &Object<'_>, data: &[u8], interrupt: &Interrupt) -> Result<bool> {
        let Some((fast, pushing)) = self.pushing() else { return Ok(false) };
        let Some(granted) = self.take_place(fast, pushing, object, interrupt)? else { return Ok(false) };
        let Place { segment, offset, .. } = granted.place;
        if !self.arena.write(segment, offset, data, object.metadata) {
            fast.release(granted.word);
            return Err(self.connection.refuse(OUTSIDE));
        }
        let telling = Telling::of(EntryKind::Put, object, &granted);
        self.tell(fast, pushing, &telling, Some(granted.word), interrupt)?;
        Ok(true)
    }

    /// Creates an object; `None`: ask the daemon as ever. The id must be one that this session made.
    pub(crate) fn create_here(&self, object: &Object<'_>, interrupt: &Interrupt) -> Result<Option<CreatedObject>> {
        let Some((fast, pushing)) = self.pushing() else { return Ok(None) };
        let Some(granted) = self.take_place(fast, pushing, object, interrupt)? else { return Ok(None) };
        let telling = Telling::of(EntryKind::Create, object, &granted);
        self.tell(fast, pushing, &telling, Some(granted.word), interrupt)?;
        let Telling { handle, segment, offset, .. } = telling;
        Ok(Some(CreatedObject { handle, segment, offset }))
    }

    /// Seals an object of this session's, however it was created; `false`: ask the daemon as ever.
    pub(crate) fn seal_here(
        &self,
        object: &Object<'_>,
        created: &CreatedObject,
        interrupt: &Interrupt,
    ) -> Result<bool> {
        // A forked child may hold a writer, but not the page.
        let Some((fast, pushing)) = self.pushing().filter(|_| self.connection.is_own()) else { return Ok(false) };
        if self.is_gone(pushing) {
            return Ok(false);
        }
        let CreatedObject { handle, segment, offset } = *created;
        let telling = Telling { kind: EntryKind::Seal, object, handle, segment, offset };
        self.tell(fast, pushing, &telling, None, interrupt)?;
        Ok(true)
    }

    /// Pins an object that this session put, and that the index may not show yet: the cell of the claim, and where the
    /// object lies.
    pub(crate) fn pin_recent(&self, id: &ObjectId) -> Option<(u32, Place)> {
        let (fast, pushing) = self.pushing()?;
        let number = self.ids.number(id)?;
        let recent = lock(&pushing.told).recent[number as usize % RECENT].filter(|recent| recent.number == number)?;
        match fast.pin_own(recent.handle.slot, recent.handle.generation) {
            Ok(cell) => Some((cell, recent.place)),
            Err(missed) => {
                if missed.ring {
                    self.ring();
                }
                None
            }
        }
    }

    #[inline]
    fn pushing(&self) -> Option<(&Fast, &Pushing)> {
        self.fast.as_ref().and_then(|fast| Some((fast, fast.pushing.as_ref()?)))
    }

    /// A pinned place that holds the object; `None` if there is none to be had.
    fn take_place(
        &self,
        fast: &Fast,
        pushing: &Pushing,
        object: &Object<'_>,
        interrupt: &Interrupt,
    ) -> Result<Option<Granted>> {
        let metadata_bytes = object.metadata.len() as u64;
        let Some(class) = Class::of(object.data_bytes.saturating_add(metadata_bytes)) else { return Ok(None) };
        // What can't be put is the daemon's to refuse.
        if metadata_bytes > self.welcome.metadata_bytes_max.into() || self.is_gone(pushing) {
            return Ok(None);
        }
        loop {
            let (grant, order) = lock(&pushing.told).next_grant(fast, class);
            if let Some(count) = order {
                self.connection.tell(&Request::Grant(Grant { bytes: class.bytes(), count }));
            }
            let Some(grant) = grant else {
                if self.ask_for_places(pushing, class, interrupt)? {
                    continue;
                }
                return Ok(None);
            };
            match fast.pin_granted(grant) {
                Ok(granted) => return Ok(Some(granted)),
                Err(missed) => {
                    lock(&pushing.told).stock.was_stale(class);
                    if missed.ring {
                        self.ring();
                    }
                }
            }
        }
    }

    /// Asks for more places and waits for them; `false` if there are none.
    #[cold]
    fn ask_for_places(&self, pushing: &Pushing, class: Class, interrupt: &Interrupt) -> Result<bool> {
        let Some(count) = lock(&pushing.told).stock.next_request(class) else { return Ok(false) };
        if self.ask_for(class.bytes(), count, interrupt)? > 0 {
            return Ok(true);
        }
        lock(&pushing.told).stock.was_refused(class);
        Ok(false)
    }

    fn ask_for(&self, bytes: u64, count: u32, interrupt: &Interrupt) -> Result<u32> {
        let request = Request::Grant(Grant { bytes, count });
        match self.connection.call(&request, OnStop::Keep, interrupt)? {
            Response::Count(granted) => Ok(granted.count),
            _ => Err(self.connection.refuse("the daemon didn't answer with Count")),
        }
    }

    /// Tells what was done, and lets go of the place.
    fn tell(
        &self,
        fast: &Fast,
        pushing: &Pushing,
        telling: &Telling<'_>,
        claim: Option<u32>,
        interrupt: &Interrupt,
    ) -> Result<()> {
        let entry = telling.entry();
        // An object that is only created is nobody's to get, nor its own client's.
        let number = self.ids.number(&telling.object.id).filter(|_| telling.kind != EntryKind::Create);
        let recent = number.map(|number| telling.recent(number));
        let is_long = loop {
            let mut told = lock(&pushing.told);
            if let Some(is_long) = told.push(fast, &entry, recent) {
                break is_long;
            }
            drop(told);
            // The ring is full. Whatever is asked, the daemon reads it first.
            if let Err(error) = self.ask_for(1, 0, interrupt) {
                // Nothing was told, so nobody else would ever give the place back.
                if claim.is_some_and(|cell| fast.release(cell)) {
                    self.ring();
                }
                return Err(error);
            }
        };
        let is_wanted = match claim {
            Some(cell) => fast.release(cell),
            None => fast.fence(),
        };
        let is_expected = telling.kind != EntryKind::Create && fast.is_expected(&telling.object.id);
        if is_long || is_wanted || is_expected {
            self.ring();
        }
        Ok(())
    }

    /// The daemon has closed the connection: nobody would read the ring. Looked at whenever the coarse clock has moved
    /// on, some hundred times a second.
    #[inline]
    fn is_gone(&self, pushing: &Pushing) -> bool {
        if pushing.looked_at.is_over() {
            self.connection.look_for_the_end();
        }
        self.connection.is_lost()
    }
}

impl Told {
    /// The next place of a class, if there is one; and how many to ask for by the way.
    fn next_grant(&mut self, fast: &Fast, class: Class) -> (Option<PageGrant>, Option<u32>) {
        let mut grant = self.stock.take(class);
        if grant.is_none() || self.stock.is_low(class) {
            while let Some((bytes, granted)) = fast.next_grant(&mut self.taken) {
                self.stock.add(bytes, granted);
            }
            grant = grant.or_else(|| self.stock.take(class));
        }
        let order = grant.and_then(|_| self.stock.next_order(class));
        (grant, order)
    }

    /// `None` if the ring is full; else whether so much stands there that the daemon should read it.
    fn push(&mut self, fast: &Fast, entry: &Entry, recent: Option<Recent>) -> Option<bool> {
        let waiting = fast.push(&mut self.tail, entry)?;
        if let Some(recent) = recent {
            self.recent[recent.number as usize % RECENT] = Some(recent);
        }
        let is_long = waiting >= RING_ENTRIES / 2 && self.tail - self.rung_at >= RING_ENTRIES / 4;
        if is_long {
            self.rung_at = self.tail;
        }
        Some(is_long)
    }
}

impl<'a> Telling<'a> {
    fn of(kind: EntryKind, object: &'a Object<'a>, granted: &Granted) -> Self {
        let handle = Handle { slot: granted.slot, generation: granted.generation };
        Self { kind, object, handle, segment: granted.place.segment, offset: granted.place.offset }
    }

    fn entry(&self) -> Entry {
        let Object { id, data_bytes, metadata, format, evictable } = *self.object;
        Entry {
            kind: self.kind,
            slot: self.handle.slot,
            generation: self.handle.generation,
            id: *id.as_bytes(),
            data_bytes,
            metadata_bytes: metadata.len() as u32,
            format: format as u16,
            evictable,
        }
    }

    /// Where its own client finds it, under its number.
    fn recent(&self, number: u64) -> Recent {
        let place = Place {
            segment: self.segment,
            format: self.object.format as u16,
            metadata_bytes: self.object.metadata.len() as u32,
            offset: self.offset,
            data_bytes: self.object.data_bytes,
        };
        Recent { number, handle: self.handle, place }
    }
}

/// How many objects put lately are remembered: as many as somebody may put before getting the first of them.
const RECENT: usize = 1024;
const OUTSIDE: &str = "the daemon granted a place outside its own memory";
