//! A slot's fields, and how they lie in its words.

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

/// Where a slot's object lies, and what it is: all a reader needs to know who has its id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Which memfd of the arena.
    pub segment: u16,
    /// How the data is encoded.
    pub format: u16,
    /// Length of the metadata behind the data.
    pub metadata_bytes: u32,
    /// Where the data starts.
    pub offset: u64,
    /// Length of the data.
    pub data_bytes: u64,
}

impl Place {
    #[inline]
    pub(super) fn of(place: u64, sizes: u64, format: u16) -> Self {
        Self {
            segment: (place >> 48) as u16,
            format,
            metadata_bytes: (sizes >> 47) as u32,
            offset: place & low_bits(48),
            data_bytes: sizes & low_bits(47),
        }
    }

    /// The two words that say where, and how much.
    pub(super) fn packed(&self) -> (u64, u64) {
        debug_assert!(self.offset <= low_bits(48));
        debug_assert!(self.data_bytes <= low_bits(47) && u64::from(self.metadata_bytes) <= low_bits(17));
        let place = u64::from(self.segment) << 48 | self.offset;
        (place, u64::from(self.metadata_bytes) << 47 | self.data_bytes)
    }
}

impl SlotFields {
    fn place(&self) -> Place {
        Place {
            segment: self.segment,
            format: self.format,
            metadata_bytes: self.metadata_bytes,
            offset: self.offset,
            data_bytes: self.data_bytes,
        }
    }
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
    /// Handed to a client to fill: only place and room are told.
    Granted = 5,
    /// The daemon wants a granted slot back and looks whether its client uses it: undecided.
    Revoking = 6,
}

/// A record as a slot's words hold it, the commit word left out: every word is written and read whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Packed {
    /// The first 24 bytes of the id.
    pub(super) id_head: [u64; 3],
    /// The last 4 bytes of the id; above them the link to the next slot of the chain.
    pub(super) tail_and_next: u64,
    /// Segment and offset.
    pub(super) place: u64,
    /// Metadata and data bytes.
    pub(super) sizes: u64,
    /// The format; above it the checksum.
    pub(super) format_and_crc: u64,
}

impl Packed {
    pub(super) fn of(fields: &SlotFields, next: u32) -> Self {
        let PackedId { head, tail } = PackedId::of(&fields.id);
        let (place, sizes) = fields.place().packed();
        Self {
            id_head: head,
            tail_and_next: u64::from(tail) | u64::from(next) << 32,
            place,
            sizes,
            format_and_crc: u64::from(fields.format) | u64::from(checksum(fields)) << 32,
        }
    }

    #[inline]
    pub(super) fn id(&self) -> PackedId {
        PackedId { head: self.id_head, tail: self.tail_and_next as u32 }
    }

    pub(super) fn fields(&self, generation: u64) -> SlotFields {
        let Place { segment, format, metadata_bytes, offset, data_bytes } = self.place();
        SlotFields { generation, id: self.id().unpacked(), segment, offset, data_bytes, metadata_bytes, format }
    }

    #[inline]
    pub(super) fn place(&self) -> Place {
        Place::of(self.place, self.sizes, self.format_and_crc as u16)
    }
}

/// An id as the words of a slot hold it: comparing these is comparing ids.
#[derive(Clone, Copy, Debug)]
pub(super) struct PackedId {
    head: [u64; 3],
    tail: u32,
}

impl PackedId {
    #[inline]
    pub(super) fn of(id: &[u8; 28]) -> Self {
        let long = |at: usize| u64::from_le_bytes(id[at..at + 8].try_into().expect("8 bytes"));
        let tail = u32::from_le_bytes(id[24..].try_into().expect("4 bytes"));
        Self { head: [long(0), long(8), long(16)], tail }
    }

    /// All words at once: a comparison that stops at the first difference would take the words through memory.
    #[inline]
    pub(super) fn is(self, other: Self) -> bool {
        let heads = self.head.iter().zip(other.head).fold(0, |differing, (one, other)| differing | (one ^ other));
        heads | u64::from(self.tail ^ other.tail) == 0
    }

    fn unpacked(self) -> [u8; 28] {
        let mut id = [0; 28];
        for (bytes, word) in id.chunks_exact_mut(8).zip(self.head) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        id[24..].copy_from_slice(&self.tail.to_le_bytes());
        id
    }
}

/// The word that says what state a slot is in, for which of its objects.
#[inline]
pub(super) fn commit_word(generation: u64, state: SlotState) -> u64 {
    generation << 8 | state as u64
}

/// CRC-32C of id, place, sizes and format: a new engine believes a slot only if it fits.
pub(super) fn checksum(fields: &SlotFields) -> u32 {
    let (place, sizes) = fields.place().packed();
    let mut bytes = [0; 46];
    bytes[..28].copy_from_slice(&fields.id);
    bytes[28..36].copy_from_slice(&place.to_le_bytes());
    bytes[36..44].copy_from_slice(&sizes.to_le_bytes());
    bytes[44..].copy_from_slice(&fields.format.to_le_bytes());
    !crc32c(!0, &bytes)
}

#[cfg(target_arch = "x86_64")]
fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
    if is_x86_feature_detected!("sse4.2") {
        // SAFETY: the processor was just asked.
        return unsafe { crc32c_sse42(crc, bytes) };
    }
    crc32c_portable(crc, bytes)
}

#[cfg(not(target_arch = "x86_64"))]
fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
    crc32c_portable(crc, bytes)
}

/// The processor's own instruction for it.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse4.2")]
fn crc32c_sse42(crc: u32, bytes: &[u8]) -> u32 {
    use std::arch::x86_64::{_mm_crc32_u8, _mm_crc32_u64};

    let (eights, rest) = bytes.as_chunks::<8>();
    let crc = eights.iter().fold(u64::from(crc), |crc, eight| _mm_crc32_u64(crc, u64::from_le_bytes(*eight)));
    rest.iter().fold(crc as u32, |crc, byte| _mm_crc32_u8(crc, *byte))
}

/// Eight bytes at a time: each has a table of its own for how far it is from the end of its eight.
fn crc32c_portable(crc: u32, bytes: &[u8]) -> u32 {
    let (eights, rest) = bytes.as_chunks::<8>();
    let crc = eights.iter().fold(crc, |crc, eight| {
        let word = u64::from_le_bytes(*eight) ^ u64::from(crc);
        word.to_le_bytes()
            .iter()
            .zip(CRC_TABLES.iter().rev())
            .fold(0, |crc, (byte, table)| crc ^ table[usize::from(*byte)])
    });
    rest.iter().fold(crc, |crc, byte| CRC_TABLES[0][usize::from(crc as u8 ^ byte)] ^ crc >> 8)
}

pub(super) const fn low_bits(count: u32) -> u64 {
    (1 << count) - 1
}

/// What a byte does to the checksum, with so many zero bytes behind it.
static CRC_TABLES: [[u32; 256]; 8] = {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = (byte as u32, 0);
        while bit < 8 {
            // The Castagnoli polynomial, bits reversed.
            crc = if crc & 1 == 1 { 0x82f6_3b78 ^ crc >> 1 } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut behind = 1;
    while behind < 8 {
        let mut byte = 0;
        while byte < 256 {
            let crc = tables[behind - 1][byte];
            tables[behind][byte] = tables[0][(crc & 0xff) as usize] ^ crc >> 8;
            byte += 1;
        }
        behind += 1;
    }
    tables
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_out_again() {
        let id = std::array::from_fn(|at| at as u8);
        let fields = SlotFields {
            generation: 9,
            id,
            segment: 7,
            offset: low_bits(48),
            data_bytes: low_bits(47),
            metadata_bytes: 65_536,
            format: 2,
        };
        assert_eq!(Packed::of(&fields, 77).fields(9), fields);
    }

    #[test]
    fn the_checksum_is_castagnolis() {
        assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
        let bytes: Vec<u8> = (0..100u8).map(|byte| byte.wrapping_mul(7)).collect();
        let by_byte = bytes.iter().fold(!0, |crc, byte| crc32c_portable(crc, &[*byte]));
        assert_eq!((crc32c(!0, &bytes), crc32c_portable(!0, &bytes)), (by_byte, by_byte));
    }
}
