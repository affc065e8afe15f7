//! The daemon's side of the index. Orders of stores are those a reader without a lock needs.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::record::{Packed, commit_word, low_bits};
use super::{HEADER_BYTES, LAYOUT_VERSION, MAGIC, Place, SLOT_BYTES, SlotFields, SlotState, WANTED_OFFSET, waiter_bit};
use crate::atomic::{AtomicU64, fence};
use crate::populate::HUGE_PAGE_BYTES;
use crate::words::Words;

/// The daemon's side of the index.
#[derive(Debug)]
pub struct IndexWriter {
    fd: OwnedFd,
    words: Words,
    slot_count: u32,
    bucket_count: u32,
    slots_offset: u64,
}

impl IndexWriter {
    /// An empty index for `slot_count` objects. Its file is sparse: what isn't used takes no memory.
    pub fn create(slot_count: u32, store_id: [u8; 16], hash_seed: [u64; 2]) -> io::Result<Self> {
        let bucket_count = slot_count.next_power_of_two();
        let buckets_end = HEADER_BYTES + 4 * u64::from(bucket_count);
        let slots_offset = buckets_end.next_multiple_of(4096);
        let bytes = slots_offset + SLOT_BYTES * u64::from(slot_count);
        // All of it can become huge pages.
        let (fd, words) = Words::create("plasmad-index", bytes.next_multiple_of(HUGE_PAGE_BYTES as u64))?;
        let index = Self { fd, words, slot_count, bucket_count, slots_offset };
        index.write_header(store_id, hash_seed);
        Ok(index)
    }

    /// The file, which clients get a read-only descriptor of.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Where the part of the file ends that an index of its first `slots` slots uses.
    pub fn reach(&self, slots: u32) -> u64 {
        self.slots_offset + SLOT_BYTES * u64::from(slots.min(self.slot_count))
    }

    /// Makes a sealed object visible under its hash: the record, then the chain, then the commit word.
    ///
    /// A slot that was granted goes from there to sealed with one store: nobody reads its record before, and a reader
    /// of its last object was told by the grant.
    pub fn publish(&self, slot: u32, hash: u64, fields: &SlotFields) {
        let commit = self.commit(slot);
        if !matches!(self.state(slot), Some(SlotState::Granted | SlotState::Revoking)) {
            commit.store(commit_word(fields.generation, SlotState::Writing), Relaxed);
            fence(Release);
        }
        let head = self.words.u32_at(self.bucket_offset(hash));
        self.write_fields(slot, fields, head.load(Relaxed));
        head.store(slot + 1, Release);
        commit.store(commit_word(fields.generation, SlotState::Sealed), Release);
    }

    /// Hands a slot out: where it lies, and what it holds.
    pub fn grant(&self, slot: u32, generation: u64, place: &Place) {
        let commit = self.commit(slot);
        commit.store(commit_word(generation, SlotState::Writing), Relaxed);
        fence(Release);
        let (place, sizes) = place.packed();
        let at = self.slot_offset(slot);
        self.words.u64_at(at + 40).store(place, Relaxed);
        self.words.u64_at(at + 48).store(sizes, Relaxed);
        commit.store(commit_word(generation, SlotState::Granted), Release);
    }

    /// Somebody waits for an id with this hash, or nobody any more. The caller fences before it looks at rings.
    pub fn expect(&self, hash: u64, expected: bool) {
        let (offset, bit) = waiter_bit(hash);
        let word = self.words.u64_at(offset);
        let others = word.load(Relaxed) & !bit;
        word.store(if expected { others | bit } else { others }, Release);
    }

    /// Changes the state in a slot's commit word; its generation stays.
    pub fn set_state(&self, slot: u32, state: SlotState) {
        let generation = self.generation(slot);
        self.commit(slot).store(commit_word(generation, state), Release);
    }

    /// Takes a slot off its chain, predecessor first; the slot's own link stays for readers standing on it.
    pub fn unlink(&self, slot: u32, hash: u64) {
        let head = self.words.u32_at(self.bucket_offset(hash));
        if head.load(Relaxed) == slot + 1 {
            return head.store(self.next(slot), Release);
        }
        let mut before = head.load(Relaxed);
        while before != 0 {
            let next = self.next(before - 1);
            if next == slot + 1 {
                return self.set_next(before - 1, self.next(slot));
            }
            before = next;
        }
        panic!("slot {slot} is not on the chain of its bucket");
    }

    /// A slot without an object, with the generation of its next one.
    pub fn free(&self, slot: u32, generation: u64) {
        self.commit(slot).store(commit_word(generation, SlotState::Free), Release);
    }

    /// Asks every client to ring when it releases something, or no longer.
    pub fn want(&self, wanted: bool) {
        self.words.u32_at(WANTED_OFFSET).store(wanted.into(), Release);
    }

    /// The generation a slot shows.
    pub fn generation(&self, slot: u32) -> u64 {
        self.commit(slot).load(Relaxed) >> 8
    }

    /// The state a slot shows; `None` if its commit word is none of ours.
    pub fn state(&self, slot: u32) -> Option<SlotState> {
        let state = self.commit(slot).load(Relaxed) as u8;
        use SlotState::*;
        [Free, Writing, Sealed, Leaving, Doomed, Granted, Revoking].into_iter().find(|known| *known as u8 == state)
    }

    /// The id in a slot, as it was last published.
    pub fn id(&self, slot: u32) -> [u8; 28] {
        self.read_fields(slot, 0).id
    }

    fn write_header(&self, store_id: [u8; 16], hash_seed: [u64; 2]) {
        let store_id = u128::from_le_bytes(store_id);
        let header = [
            (0, MAGIC),
            (8, u64::from(LAYOUT_VERSION)),
            (16, u64::from(self.slot_count) | u64::from(self.bucket_count) << 32),
            (24, self.slots_offset),
            (32, store_id as u64),
            (40, (store_id >> 64) as u64),
            (48, hash_seed[0]),
            (56, hash_seed[1]),
        ];
        header.into_iter().for_each(|(offset, value)| self.words.u64_at(offset).store(value, Release));
    }

    fn write_fields(&self, slot: u32, fields: &SlotFields, next: u32) {
        let record = Packed::of(fields, next);
        let words =
            record.id_head.into_iter().chain([record.tail_and_next, record.place, record.sizes, record.format_and_crc]);
        let line = self.words.line_at(self.slot_offset(slot));
        line[1..].iter().zip(words).for_each(|(word, value)| word.store(value, Relaxed));
    }

    fn read_fields(&self, slot: u32, generation: u64) -> SlotFields {
        let at = self.slot_offset(slot);
        let word = |offset| self.words.u64_at(at + offset).load(Relaxed);
        let record = Packed {
            id_head: [word(8), word(16), word(24)],
            tail_and_next: word(32),
            place: word(40),
            sizes: word(48),
            format_and_crc: word(56),
        };
        record.fields(generation)
    }

    /// The link of a slot: 0 for the last, else slot + 1.
    fn next(&self, slot: u32) -> u32 {
        (self.words.u64_at(self.slot_offset(slot) + 32).load(Acquire) >> 32) as u32
    }

    /// Changes a slot's link; the end of its id, which shares a word with it, stays.
    fn set_next(&self, slot: u32, next: u32) {
        let word = self.words.u64_at(self.slot_offset(slot) + 32);
        word.store(word.load(Relaxed) & low_bits(32) | u64::from(next) << 32, Release);
    }

    fn commit(&self, slot: u32) -> &AtomicU64 {
        self.words.u64_at(self.slot_offset(slot))
    }

    fn slot_offset(&self, slot: u32) -> u64 {
        assert!(slot < self.slot_count, "slot {slot} of {}", self.slot_count);
        self.slots_offset + SLOT_BYTES * u64::from(slot)
    }

    fn bucket_offset(&self, hash: u64) -> u64 {
        HEADER_BYTES + 4 * (hash & u64::from(self.bucket_count - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::super::IndexReader;
    use super::super::record::low_bits;
    use super::*;

    /// What a client finds.
    fn find(index: &IndexWriter, id: &[u8; 28], hash: u64) -> Option<(u32, SlotFields)> {
        let reader = IndexReader::attach(index.fd()).unwrap();
        let (slot, commit, record) = reader.find(id, hash)?;
        Some((slot, record.fields(commit >> 8)))
    }

    fn object(byte: u8) -> SlotFields {
        let sizes = (low_bits(47), 65_536);
        SlotFields {
            generation: u64::from(byte) + 1,
            id: [byte; 28],
            segment: 3,
            offset: low_bits(48),
            data_bytes: sizes.0,
            metadata_bytes: sizes.1,
            format: 2,
        }
    }

    #[test]
    fn a_published_object_is_found_whole() {
        let index = IndexWriter::create(16, [7; 16], [1, 2]).unwrap();
        index.publish(5, 99, &object(1));
        assert_eq!(find(&index, &[1; 28], 99), Some((5, object(1))));
        assert_eq!(find(&index, &[2; 28], 99), None);
    }

    #[test]
    fn a_slot_leaves_its_chain_from_any_place() {
        for victim in 0..3 {
            let index = IndexWriter::create(16, [7; 16], [1, 2]).unwrap();
            (0..3).for_each(|slot| index.publish(slot, 4, &object(slot as u8)));
            index.set_state(victim, SlotState::Doomed);
            index.unlink(victim, 4);
            index.free(victim, 9);
            for slot in 0..3 {
                assert_eq!(find(&index, &[slot as u8; 28], 4).is_some(), slot != victim);
            }
            assert_eq!(index.generation(victim), 9);
        }
    }

    #[test]
    fn a_granted_slot_is_found_when_it_is_published_and_not_before() {
        let index = IndexWriter::create(4, [7; 16], [1, 2]).unwrap();
        let place = Place { segment: 3, format: 0, metadata_bytes: 0, offset: low_bits(48), data_bytes: 1024 };
        for state in [SlotState::Granted, SlotState::Revoking] {
            index.grant(0, 2, &place);
            index.set_state(0, state);
            assert_eq!((index.state(0), index.generation(0)), (Some(state), 2));
            assert_eq!(find(&index, &[1; 28], 0), None);
            index.publish(0, 0, &object(1));
            assert_eq!(find(&index, &[1; 28], 0), Some((0, object(1))));
            index.unlink(0, 0);
        }
    }

    #[test]
    fn an_object_that_is_leaving_is_not_found_until_it_stays() {
        let index = IndexWriter::create(4, [7; 16], [1, 2]).unwrap();
        index.publish(0, 0, &object(1));
        index.set_state(0, SlotState::Leaving);
        assert_eq!(find(&index, &[1; 28], 0), None);
        index.set_state(0, SlotState::Sealed);
        assert!(find(&index, &[1; 28], 0).is_some());
    }
}
