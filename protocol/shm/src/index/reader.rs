//! A client's side of the index: finding an object and pinning it, without a lock and without the daemon.
//!
//! ```text
//! 1  find the slot by id, within bounded hops; its commit word says sealed
//! 2  read its fields
//! 3  store a claim on (slot, generation) in the client's own page; full fence
//! 4  the commit word is still the same: the object is ours until the claim is cleared
//!    it changed: clear the claim, and ask over the socket
//! ```
//!
//! The daemon does the same from the other end: it changes the commit word, fences, and looks for claims. Whatever
//! the order, one of the two sees the other. A miss proves nothing: a chain may change while it is walked.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering::Acquire;

use super::record::{Packed, PackedId, commit_word};
use super::{HEADER_BYTES, HOPS_MAX, LAYOUT_VERSION, MAGIC, Place, SLOT_BYTES, SlotState, WANTED_OFFSET, waiter_bit};
use crate::atomic::fence;
use crate::faults::Fault;
use crate::memfd::{self, SealError};
use crate::page::{Grant, OwnPage};
use crate::words::{Line, ReadWords};

/// An index mapped for reading.
#[derive(Debug)]
pub struct IndexReader {
    words: ReadWords,
    slot_count: u32,
    bucket_mask: u64,
    slots_offset: u64,
    hash_seed: [u64; 2],
}

/// An object found and pinned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found {
    /// The word of the client's own page that holds the claim.
    pub word: u32,
    /// Its place in the index.
    pub slot: u32,
    /// Where it lies.
    pub place: Place,
}

/// A slot to fill, pinned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Granted {
    /// The word of the client's own page that holds the claim.
    pub word: u32,
    /// The slot.
    pub slot: u32,
    /// Its generation.
    pub generation: u64,
    /// Where it lies; `data_bytes` is what it holds.
    pub place: Place,
}

/// An object that was not pinned without asking.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Missed {
    /// A claim was made and released, and the daemon wants to be told of that.
    pub ring: bool,
}

impl IndexReader {
    /// Maps an index that a daemon sent.
    pub fn attach(fd: impl AsFd) -> Result<Self, AttachError> {
        let bytes = memfd::check_seals(fd.as_fd())?;
        let words = ReadWords::new(fd, bytes)?;
        if bytes < HEADER_BYTES || words.u64(0) != MAGIC || words.u64(8) != u64::from(LAYOUT_VERSION) {
            return Err(AttachError::Layout);
        }
        let (counts, slots_offset) = (words.u64(16), words.u64(24));
        let (slot_count, bucket_count) = (counts as u32, counts >> 32);
        let hash_seed = [words.u64(48), words.u64(56)];
        let buckets_end = HEADER_BYTES + 4 * bucket_count;
        let slots_end = slots_offset.checked_add(SLOT_BYTES * u64::from(slot_count));
        let fits = slots_offset >= buckets_end && slots_end.is_some_and(|end| end <= bytes);
        if !fits || !bucket_count.is_power_of_two() || !slots_offset.is_multiple_of(SLOT_BYTES) {
            return Err(AttachError::Layout);
        }
        Ok(Self { words, slot_count, bucket_mask: bucket_count - 1, slots_offset, hash_seed })
    }

    /// What ids are hashed with.
    #[inline]
    pub fn hash_seed(&self) -> [u64; 2] {
        self.hash_seed
    }

    /// Finds the object under an id and pins it in `pins`. A miss proves nothing: ask over the socket.
    #[inline(always)]
    pub fn pin(&self, id: &[u8; 28], hash: u64, pins: &OwnPage, hint: u32) -> Result<Found, Missed> {
        let (slot, commit, record) = self.find(id, hash).ok_or(Missed { ring: false })?;
        let word = pins.claim(slot, commit >> 8, hint).ok_or(Missed { ring: false })?;
        self.confirm(slot, commit, pins, word)?;
        pins.note_use(word, slot);
        Ok(Found { word, slot, place: record.place() })
    }

    /// The second look, behind the claim and its fence. A claim that came to nothing is released like any other: the
    /// daemon may have seen it, and wait for it to go.
    #[inline]
    fn confirm(&self, slot: u32, commit: u64, pins: &OwnPage, word: u32) -> Result<(), Missed> {
        if self.slot(slot).word(COMMIT) != commit && !Fault::NoRecheck.is_in() {
            pins.release(word);
            return Err(Missed { ring: self.is_wanted() });
        }
        fence(Acquire);
        Ok(())
    }

    /// Pins a slot that was handed to this client, to fill it. Missed: it was taken back.
    #[inline]
    pub fn pin_granted(&self, grant: Grant, page: &OwnPage, hint: u32) -> Result<Granted, Missed> {
        let Grant { slot, generation_low } = grant;
        if slot >= self.slot_count {
            return Err(Missed { ring: false });
        }
        let line = self.slot(slot);
        let commit = line.word(COMMIT);
        let generation = commit >> 8;
        if commit as u8 != SlotState::Granted as u8 || generation as u32 != generation_low {
            return Err(Missed { ring: false });
        }
        fence(Acquire);
        let place = Place::of(line.word(5), line.word(6), 0);
        let word = page.claim(slot, generation, hint).ok_or(Missed { ring: false })?;
        self.confirm(slot, commit, page, word)?;
        Ok(Granted { word, slot, generation, place })
    }

    /// What a granted slot holds; `None` if it was taken back.
    pub fn granted_bytes(&self, grant: Grant) -> Option<u64> {
        let line = self.slot(Some(grant.slot).filter(|slot| *slot < self.slot_count)?);
        let commit = line.word(COMMIT);
        if commit as u8 != SlotState::Granted as u8 || (commit >> 8) as u32 != grant.generation_low {
            return None;
        }
        fence(Acquire);
        Some(Place::of(0, line.word(6), 0).data_bytes)
    }

    /// Pins an object of this client's own, put a moment ago, that may not be found by its id yet.
    #[inline]
    pub fn pin_own(&self, slot: u32, generation: u64, page: &OwnPage, hint: u32) -> Result<u32, Missed> {
        let shows = |commit: u64| {
            commit == commit_word(generation, SlotState::Granted)
                || commit == commit_word(generation, SlotState::Sealed)
        };
        let line = self.slot(slot);
        if !shows(line.word(COMMIT)) {
            return Err(Missed { ring: false });
        }
        let word = page.claim(slot, generation, hint).ok_or(Missed { ring: false })?;
        // It may have been published in between; that changes nothing for whoever wrote it.
        if !shows(line.word(COMMIT)) {
            page.release(word);
            return Err(Missed { ring: self.is_wanted() });
        }
        fence(Acquire);
        page.note_use(word, slot);
        Ok(word)
    }

    /// Does anybody wait for an id with this hash? Read behind a full fence that follows the ring's tail.
    #[inline]
    pub fn is_expected(&self, hash: u64) -> bool {
        let (offset, bit) = waiter_bit(hash);
        self.words.u64(offset) & bit != 0
    }

    /// Is there a sealed object under this id? `false` proves nothing.
    pub fn contains(&self, id: &[u8; 28], hash: u64) -> bool {
        self.find(id, hash).is_some()
    }

    /// The daemon wants to be told of releases. Read behind a full fence that follows the release.
    #[inline]
    pub fn is_wanted(&self) -> bool {
        self.words.u32(WANTED_OFFSET) != 0
    }

    /// A sealed slot with this id, its commit word, and its fields as they were under it.
    #[inline(always)]
    pub(super) fn find(&self, id: &[u8; 28], hash: u64) -> Option<(u32, u64, Packed)> {
        let wanted = PackedId::of(id);
        let mut link = self.words.u32(HEADER_BYTES + 4 * (hash & self.bucket_mask));
        for _ in 0..HOPS_MAX {
            let slot = link.checked_sub(1).filter(|slot| *slot < self.slot_count)?;
            // What the link led to was written before the link.
            fence(Acquire);
            let line = self.slot(slot);
            let commit = line.word(COMMIT);
            fence(Acquire);
            let record = Packed {
                id_head: [line.word(1), line.word(2), line.word(3)],
                tail_and_next: line.word(4),
                place: line.word(5),
                sizes: line.word(6),
                format_and_crc: line.word(7),
            };
            if record.id().is(wanted) && commit as u8 == SlotState::Sealed as u8 {
                fence(Acquire);
                return (line.word(COMMIT) == commit).then_some((slot, commit, record));
            }
            link = (record.tail_and_next >> 32) as u32;
        }
        None
    }

    #[inline]
    fn slot(&self, slot: u32) -> Line<'_> {
        self.words.line(self.slots_offset + SLOT_BYTES * u64::from(slot))
    }
}

/// The commit word is a slot's first.
const COMMIT: usize = 0;

/// A file that is no index this library can read.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// Its fd seals are not those of the daemon's files.
    #[error(transparent)]
    Seals(#[from] SealError),
    /// It can't be mapped.
    #[error("the file can't be mapped: {0}")]
    Map(#[from] io::Error),
    /// Its header is another one's.
    #[error("the layout of the daemon's shared memory is not the one this library knows")]
    Layout,
}

#[cfg(test)]
mod tests {
    use super::super::{IndexWriter, SlotFields};
    use super::*;
    use crate::page::ClientPage;

    fn object(byte: u8) -> SlotFields {
        let (id, generation) = ([byte; 28], u64::from(byte));
        SlotFields { generation, id, segment: 0, offset: 4096, data_bytes: 5, metadata_bytes: 2, format: 1 }
    }

    struct Both {
        index: IndexWriter,
        page: ClientPage,
        reader: IndexReader,
        pins: OwnPage,
    }

    fn both() -> Both {
        let index = IndexWriter::create(16, [7; 16], [1, 2]).unwrap();
        let page = ClientPage::create(1).unwrap();
        let reader = IndexReader::attach(index.fd()).unwrap();
        let pins = OwnPage::attach(page.fd()).unwrap();
        Both { index, page, reader, pins }
    }

    fn claims(page: &ClientPage) -> Vec<(u32, u32)> {
        let mut claims = Vec::new();
        page.scan(&mut |slot, generation| claims.push((slot, generation)));
        claims
    }

    #[test]
    fn a_found_object_is_pinned_until_it_is_released() {
        let Both { index, page, reader, pins } = both();
        assert_eq!(reader.hash_seed(), [1, 2]);
        index.publish(5, 99, &object(3));
        let found = reader.pin(&[3; 28], 99, &pins, 0).unwrap();
        let place = Place { segment: 0, format: 1, metadata_bytes: 2, offset: 4096, data_bytes: 5 };
        assert_eq!((found.slot, found.place), (5, place));
        assert_eq!(claims(&page), [(5, 3)]);
        pins.release(found.word);
        assert_eq!(claims(&page), []);
        assert_eq!(page.own_pins_total(), 1);
    }

    #[test]
    fn what_is_absent_or_leaving_is_not_found_and_leaves_no_claim() {
        let Both { index, page, reader, pins } = both();
        assert_eq!(reader.pin(&[3; 28], 99, &pins, 0), Err(Missed { ring: false }));
        index.publish(5, 99, &object(3));
        for state in [SlotState::Leaving, SlotState::Doomed, SlotState::Writing] {
            index.set_state(5, state);
            assert!(reader.pin(&[3; 28], 99, &pins, 0).is_err(), "{state:?}");
        }
        index.set_state(5, SlotState::Sealed);
        assert!(reader.contains(&[3; 28], 99) && !reader.contains(&[4; 28], 99));
        assert_eq!(claims(&page), []);
    }

    #[test]
    fn a_claim_that_comes_to_nothing_is_released_and_rung_for() {
        let Both { index, page, reader, pins } = both();
        index.publish(5, 99, &object(3));
        for wanted in [false, true] {
            index.set_state(5, SlotState::Sealed);
            let (slot, commit, _) = reader.find(&[3; 28], 99).unwrap();
            let word = pins.claim(slot, commit >> 8, 0).unwrap();
            // The daemon has seen the claim by now, and waits for it to go.
            index.set_state(5, SlotState::Leaving);
            index.want(wanted);
            assert_eq!(claims(&page), [(5, 3)]);
            assert_eq!(reader.confirm(slot, commit, &pins, word), Err(Missed { ring: wanted }));
            assert_eq!(claims(&page), []);
        }
    }

    #[test]
    fn a_granted_slot_is_pinned_until_it_is_taken_back() {
        let Both { index, mut page, reader, pins } = both();
        let place = Place { segment: 0, format: 0, metadata_bytes: 0, offset: 8192, data_bytes: 1024 };
        index.grant(5, 7, &place);
        page.grant([(5, 7)].into_iter());
        let grant = pins.next_grant(&mut 0).unwrap();
        assert_eq!(reader.granted_bytes(grant), Some(1024));
        let granted = reader.pin_granted(grant, &pins, 0).unwrap();
        assert_eq!((granted.slot, granted.generation, granted.place), (5, 7, place));
        assert_eq!(claims(&page), [(5, 7)]);
        pins.release(granted.word);
        for wrong in [Grant { generation_low: 8, ..grant }, Grant { slot: 4, ..grant }, Grant { slot: 99, ..grant }] {
            assert!(reader.pin_granted(wrong, &pins, 0).is_err() && reader.granted_bytes(wrong).is_none());
        }
        index.set_state(5, SlotState::Revoking);
        assert!(reader.pin_granted(grant, &pins, 0).is_err() && reader.granted_bytes(grant).is_none());
        assert_eq!(claims(&page), []);
    }

    #[test]
    fn an_own_object_is_pinned_before_and_after_it_is_published_and_not_when_it_is_gone() {
        let Both { index, page, reader, pins } = both();
        let place = Place { segment: 0, format: 0, metadata_bytes: 0, offset: 4096, data_bytes: 1024 };
        index.grant(5, 3, &place);
        let pin = || reader.pin_own(5, 3, &pins, 0);
        pins.release(pin().unwrap());
        index.publish(5, 99, &object(3));
        pins.release(pin().unwrap());
        for state in [SlotState::Doomed, SlotState::Leaving, SlotState::Revoking] {
            index.set_state(5, state);
            assert_eq!(pin(), Err(Missed { ring: false }), "{state:?}");
        }
        index.grant(5, 4, &place);
        assert!(pin().is_err(), "another object lives there");
        assert_eq!(claims(&page), []);
    }

    #[test]
    fn who_waits_for_an_id_is_seen_by_its_hash() {
        let Both { index, reader, .. } = both();
        let (one, other) = (3 << 60 | 5, 1 << 60 | 5);
        index.expect(one, true);
        assert!(reader.is_expected(one) && !reader.is_expected(other));
        index.expect(other, true);
        index.expect(one, false);
        assert!(!reader.is_expected(one) && reader.is_expected(other));
    }

    #[test]
    fn chains_are_walked_to_their_end_and_no_further() {
        let Both { index, reader, pins, .. } = both();
        (0..16).for_each(|slot| index.publish(slot, 4, &object(slot as u8 + 1)));
        for slot in 0..16 {
            assert_eq!(reader.pin(&[slot as u8 + 1; 28], 4, &pins, slot).map(|found| found.slot), Ok(slot));
        }
        assert!(reader.pin(&[99; 28], 4, &pins, 0).is_err());
    }

    #[test]
    fn a_wanted_release_is_seen() {
        let Both { index, reader, .. } = both();
        assert!(!reader.is_wanted());
        index.want(true);
        assert!(reader.is_wanted());
        index.want(false);
        assert!(!reader.is_wanted());
    }

    #[test]
    fn a_file_that_is_no_index_is_refused() {
        let zeros = memfd::create("test", 8192).unwrap();
        assert!(matches!(IndexReader::attach(&zeros), Err(AttachError::Layout)));
        let page = ClientPage::create(1).unwrap();
        assert!(matches!(IndexReader::attach(page.fd()), Err(AttachError::Layout)));
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(matches!(IndexReader::attach(&file), Err(AttachError::Seals(_))));
    }
}
