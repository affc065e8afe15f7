//! The index of sealed objects: written by the daemon alone.
//!
//! Invariant: a slot that can be reached from its bucket holds a whole record, and its commit word says last what
//! the record says first. Orders of stores are those a reader without a lock needs.
//!
//! ```text
//! header, 4096 bytes | bucket heads, 4 bytes each | slots, 64 bytes each, on a page
//!                      0: empty, else slot + 1
//!
//! slot:   0 commit word (8 bits of state, 56 of generation)    8 id, 28 bytes
//!        36 next in the chain (0: last, else slot + 1)         40 place (16 bits of segment, 48 of offset)
//!        48 sizes (17 bits of metadata, 47 of data)            56 format, 2 bytes    60 CRC-32C of bytes 8..36, 40..58
//! ```

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::fence;

use crate::words::Words;

/// The daemon's side of the index.
#[derive(Debug)]
pub struct IndexWriter {
    words: Words,
    slot_count: u32,
    bucket_count: u32,
    slots_offset: u64,
}

/// What a slot shows of its object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlotFields {
    /// The slot's generation; 56 bits.
    pub generation: u64,
    /// The object's id.
    pub id: [u8; 28],
    /// Which memfd of the arena.
    pub segment: u16,
    /// Where the data starts in it; 48 bits.
    pub offset: u64,
    /// Length of the data; 47 bits.
    pub data_bytes: u64,
    /// Length of the metadata behind it; 17 bits.
    pub metadata_bytes: u32,
    /// How the data is encoded.
    pub format: u16,
}

/// The state in a commit word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum SlotState {
    /// No object lives here.
    Free = 0,
    /// The record is being written.
    Writing = 1,
    /// The object may be pinned.
    Sealed = 2,
    /// The daemon wants the object's memory and looks whether anybody pins it: undecided.
    Leaving = 3,
    /// Deleted for good; its memory stays until the last release.
    Doomed = 4,
}

impl IndexWriter {
    /// An empty index for `slot_count` objects. Its file is sparse: what isn't used takes no memory.
    pub fn create(slot_count: u32, store_id: [u8; 16], hash_seed: [u64; 2]) -> io::Result<Self> {
        let bucket_count = slot_count.next_power_of_two();
        let buckets_end = HEADER_BYTES + 4 * u64::from(bucket_count);
        let slots_offset = buckets_end.next_multiple_of(4096);
        let bytes = slots_offset + SLOT_BYTES * u64::from(slot_count);
        let words = Words::create("plasmad-index", bytes.next_multiple_of(4096))?;
        let index = Self { words, slot_count, bucket_count, slots_offset };
        index.write_header(store_id, hash_seed);
        Ok(index)
    }

    /// The file.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.words.fd()
    }

    /// Makes a sealed object visible under its hash: the record, then the chain, then the commit word.
    pub fn publish(&self, slot: u32, hash: u64, fields: &SlotFields) {
        let commit = self.commit(slot);
        commit.store(commit_word(fields.generation, SlotState::Writing), Relaxed);
        fence(Release);
        self.write_fields(slot, fields);
        let head = self.words.u32_at(self.bucket_offset(hash));
        self.next(slot).store(head.load(Relaxed), Relaxed);
        head.store(slot + 1, Release);
        commit.store(commit_word(fields.generation, SlotState::Sealed), Release);
    }

    /// Changes the state in a slot's commit word; its generation stays.
    pub fn set_state(&self, slot: u32, state: SlotState) {
        let generation = self.generation(slot);
        self.commit(slot).store(commit_word(generation, state), Release);
    }

    /// Takes a slot off its chain, predecessor first; the slot's own link stays for readers standing on it.
    pub fn unlink(&self, slot: u32, hash: u64) {
        let mut link = self.words.u32_at(self.bucket_offset(hash));
        loop {
            match link.load(Relaxed) {
                0 => panic!("slot {slot} is not on the chain of its bucket"),
                found if found == slot + 1 => break link.store(self.next(slot).load(Relaxed), Release),
                other => link = self.next(other - 1),
            }
        }
    }

    /// A slot without an object, with the generation of its next one.
    pub fn free(&self, slot: u32, generation: u64) {
        self.commit(slot).store(commit_word(generation, SlotState::Free), Release);
    }

    /// The generation a slot shows.
    pub fn generation(&self, slot: u32) -> u64 {
        self.commit(slot).load(Relaxed) >> 8
    }

    /// The state a slot shows; `None` if its commit word is none of ours.
    pub fn state(&self, slot: u32) -> Option<SlotState> {
        let state = self.commit(slot).load(Relaxed) as u8;
        use SlotState::*;
        [Free, Writing, Sealed, Leaving, Doomed].into_iter().find(|known| *known as u8 == state)
    }

    /// The id in a slot, as it was last published.
    pub fn id(&self, slot: u32) -> [u8; 28] {
        self.read_fields(slot, 0).id
    }

    /// The slot under an id, by the way every reader goes: bounded hops, fields between two looks at the commit
    /// word.
    pub fn find(&self, id: &[u8; 28], hash: u64) -> Option<(u32, SlotFields)> {
        let mut link = self.words.u32_at(self.bucket_offset(hash)).load(Acquire);
        for _ in 0..HOPS_MAX {
            let slot = link.checked_sub(1)?;
            let before = self.commit(slot).load(Acquire);
            let fields = self.read_fields(slot, before >> 8);
            fence(Acquire);
            let unchanged = self.commit(slot).load(Relaxed) == before;
            if unchanged && before as u8 == SlotState::Sealed as u8 && fields.id == *id {
                return Some((slot, fields));
            }
            link = self.next(slot).load(Acquire);
        }
        None
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

    fn write_fields(&self, slot: u32, fields: &SlotFields) {
        let at = self.slot_offset(slot);
        for (offset, word) in (8..36).step_by(4).zip(fields.id.chunks_exact(4)) {
            let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
            self.words.u32_at(at + offset).store(word, Relaxed);
        }
        self.words.u64_at(at + 40).store(place(fields), Relaxed);
        self.words.u64_at(at + 48).store(sizes(fields), Relaxed);
        self.words.u32_at(at + 56).store(fields.format.into(), Relaxed);
        self.words.u32_at(at + 60).store(checksum(fields), Relaxed);
    }

    fn read_fields(&self, slot: u32, generation: u64) -> SlotFields {
        let at = self.slot_offset(slot);
        let mut id = [0; 28];
        for (offset, word) in (8..36).step_by(4).zip(id.chunks_exact_mut(4)) {
            word.copy_from_slice(&self.words.u32_at(at + offset).load(Relaxed).to_le_bytes());
        }
        let place = self.words.u64_at(at + 40).load(Relaxed);
        let sizes = self.words.u64_at(at + 48).load(Relaxed);
        SlotFields {
            generation,
            id,
            segment: (place >> 48) as u16,
            offset: place & low_bits(48),
            data_bytes: sizes & low_bits(47),
            metadata_bytes: (sizes >> 47) as u32,
            format: self.words.u32_at(at + 56).load(Relaxed) as u16,
        }
    }

    fn commit(&self, slot: u32) -> &std::sync::atomic::AtomicU64 {
        self.words.u64_at(self.slot_offset(slot))
    }

    fn next(&self, slot: u32) -> &std::sync::atomic::AtomicU32 {
        self.words.u32_at(self.slot_offset(slot) + 36)
    }

    fn slot_offset(&self, slot: u32) -> u64 {
        assert!(slot < self.slot_count, "slot {slot} of {}", self.slot_count);
        self.slots_offset + SLOT_BYTES * u64::from(slot)
    }

    fn bucket_offset(&self, hash: u64) -> u64 {
        HEADER_BYTES + 4 * (hash & u64::from(self.bucket_count - 1))
    }
}

fn commit_word(generation: u64, state: SlotState) -> u64 {
    generation << 8 | state as u64
}

fn place(fields: &SlotFields) -> u64 {
    debug_assert!(fields.offset <= low_bits(48));
    u64::from(fields.segment) << 48 | fields.offset
}

fn sizes(fields: &SlotFields) -> u64 {
    debug_assert!(fields.data_bytes <= low_bits(47) && u64::from(fields.metadata_bytes) <= low_bits(17));
    u64::from(fields.metadata_bytes) << 47 | fields.data_bytes
}

/// CRC-32C of id, place, sizes and format: a new engine believes a slot only if it fits.
fn checksum(fields: &SlotFields) -> u32 {
    let mut crc = crc32c(!0, &fields.id);
    crc = crc32c(crc, &place(fields).to_le_bytes());
    crc = crc32c(crc, &sizes(fields).to_le_bytes());
    !crc32c(crc, &fields.format.to_le_bytes())
}

fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(crc, |crc, byte| CRC_TABLE[usize::from(crc as u8 ^ byte)] ^ crc >> 8)
}

const fn low_bits(count: u32) -> u64 {
    (1 << count) - 1
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = (byte as u32, 0);
        while bit < 8 {
            // The Castagnoli polynomial, bits reversed.
            crc = if crc & 1 == 1 { 0x82f6_3b78 ^ crc >> 1 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

/// "PLSMIDX\0".
const MAGIC: u64 = u64::from_le_bytes(*b"PLSMIDX\0");
const LAYOUT_VERSION: u32 = 1;
const HEADER_BYTES: u64 = 4096;
const SLOT_BYTES: u64 = 64;
/// A reader gives up here and asks over the socket: a chain may change under its feet.
const HOPS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(index.find(&[1; 28], 99), Some((5, object(1))));
        assert_eq!(index.find(&[2; 28], 99), None);
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
                assert_eq!(index.find(&[slot as u8; 28], 4).is_some(), slot != victim);
            }
            assert_eq!(index.generation(victim), 9);
        }
    }

    #[test]
    fn an_object_that_is_leaving_is_not_found_until_it_stays() {
        let index = IndexWriter::create(4, [7; 16], [1, 2]).unwrap();
        index.publish(0, 0, &object(1));
        index.set_state(0, SlotState::Leaving);
        assert_eq!(index.find(&[1; 28], 0), None);
        index.set_state(0, SlotState::Sealed);
        assert!(index.find(&[1; 28], 0).is_some());
    }

    #[test]
    fn the_checksum_is_castagnolis() {
        assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
    }
}
