//! What a client tells on its ring, and how it lies in an entry's words.
//!
//! ```text
//!  0 slot, 4 bytes    4 kind    5 evictable    6 format, 2 bytes
//!  8 generation       16 id, 28 bytes          44 length of the metadata, 4 bytes
//! 48 length of the data                        56 zero
//! ```

/// What a client did with a slot it was handed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// What it did.
    pub kind: EntryKind,
    /// The slot.
    pub slot: u32,
    /// Which use of the slot is meant; 56 bits.
    pub generation: u64,
    /// The object's id. From here on told by `Put` and `Create` only.
    pub id: [u8; 28],
    /// Length of the data.
    pub data_bytes: u64,
    /// Length of the metadata behind it.
    pub metadata_bytes: u32,
    /// How the data is encoded.
    pub format: u16,
    /// May be dropped when memory is short.
    pub evictable: bool,
}

/// What was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum EntryKind {
    /// The object is written: it is to be seen from now on.
    Put = 1,
    /// The object is being written under this id.
    Create = 2,
    /// The object that was created is written.
    Seal = 3,
    /// The object that was created is given up.
    Abort = 4,
}

impl Entry {
    /// An entry that says nothing but what was done to an object that has its id already.
    pub fn of(kind: EntryKind, slot: u32, generation: u64) -> Self {
        let (id, data_bytes, metadata_bytes, format, evictable) = ([0; 28], 0, 0, 0, false);
        Self { kind, slot, generation, id, data_bytes, metadata_bytes, format, evictable }
    }

    pub(super) fn words(&self) -> [u64; 8] {
        let long = |at: usize| u64::from_le_bytes(self.id[at..at + 8].try_into().expect("8 bytes"));
        let tail = u32::from_le_bytes(self.id[24..].try_into().expect("4 bytes"));
        let first = u64::from(self.slot)
            | (self.kind as u64) << 32
            | u64::from(self.evictable) << 40
            | u64::from(self.format) << 48;
        let last = u64::from(tail) | u64::from(self.metadata_bytes) << 32;
        [first, self.generation, long(0), long(8), long(16), last, self.data_bytes, 0]
    }

    /// `None`: whoever wrote these words knows no such kind, or no such mark.
    pub(super) fn from_words(words: [u64; 8]) -> Option<Self> {
        let kind = match (words[0] >> 32) as u8 {
            1 => EntryKind::Put,
            2 => EntryKind::Create,
            3 => EntryKind::Seal,
            4 => EntryKind::Abort,
            _ => return None,
        };
        let evictable = match (words[0] >> 40) as u8 {
            0 => false,
            1 => true,
            _ => return None,
        };
        let mut id = [0; 28];
        for (bytes, word) in id.chunks_mut(8).zip(&words[2..6]) {
            bytes.copy_from_slice(&word.to_le_bytes()[..bytes.len()]);
        }
        Some(Self {
            kind,
            slot: words[0] as u32,
            generation: words[1],
            id,
            data_bytes: words[6],
            metadata_bytes: (words[5] >> 32) as u32,
            format: (words[0] >> 48) as u16,
            evictable,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let id = std::array::from_fn(|at| at as u8 + 1);
        for kind in [EntryKind::Put, EntryKind::Create, EntryKind::Seal, EntryKind::Abort] {
            let entry = Entry {
                kind,
                slot: u32::MAX,
                generation: (1 << 56) - 1,
                id,
                data_bytes: u64::MAX,
                metadata_bytes: u32::MAX,
                format: u16::MAX,
                evictable: true,
            };
            assert_eq!(Entry::from_words(entry.words()), Some(entry));
        }
        let plain = Entry::of(EntryKind::Seal, 7, 9);
        assert_eq!(Entry::from_words(plain.words()), Some(plain));
    }

    #[test]
    fn unknown_kinds_and_marks_are_refused() {
        let words = Entry::of(EntryKind::Put, 1, 1).words();
        for (bit, byte) in [(32, 0), (32, 5), (32, 255), (40, 2)] {
            let mut other = words;
            other[0] = other[0] & !(0xff << bit) | byte << bit;
            assert_eq!(Entry::from_words(other), None);
        }
    }
}
