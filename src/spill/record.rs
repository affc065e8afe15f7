//! A record's header, in 128 bytes. The table of its bytes is in docs/SPILL_FORMAT.md.
//!
//! Invariant: what [`Header::decode`] gives back was written by [`Header::encode`] for the same folder and place, each bit
//! of it: a code stands in the header that only who has the folder's key can compute. A change of data and metadata is
//! noticed by the checksum that stands in the header too.

use std::hash::Hasher;
use std::ops::Range;

use byteorder::{ByteOrder, LittleEndian};
use plasmad_core::disk::{DiskRecord, FileNumber, RECORD_HEADER_BYTES};
use plasmad_wire::{Format, ObjectId};
use siphasher::sip128::{Hasher128, SipHasher24};

/// What a folder's headers are signed with. It is secret and stands in no spill file, since clients may read those: none
/// can make a lookalike of a record part of its data, nor have a copy of one count anywhere else.
pub(crate) type FolderKey = [u8; 16];

/// A header's bytes.
pub(crate) type HeaderBytes = [u8; RECORD_HEADER_BYTES as usize];

/// What stands before a record's data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    /// What the core knows of it.
    pub(crate) record: DiskRecord,
    /// Where its batch begins. A batch's first block is written last, so its records count if the one there does.
    pub(crate) batch_offset: u64,
    /// CRC32C of data and metadata, one behind the other.
    pub(crate) checksum: u32,
}

impl Header {
    /// Its bytes, for a place in a file of a folder.
    pub(crate) fn encode(&self, key: &FolderKey, file: FileNumber, offset: u64) -> HeaderBytes {
        let record = &self.record;
        let flag = |set: bool, flag: u32| if set { flag } else { 0 };
        let flags = flag(record.tombstone, TOMBSTONE) | flag(record.evictable, EVICTABLE);
        let mut bytes = [0; RECORD_HEADER_BYTES as usize];
        bytes[..8].copy_from_slice(MAGIC);
        LittleEndian::write_u16(&mut bytes[8..], VERSION);
        LittleEndian::write_u16(&mut bytes[10..], record.format as u16);
        LittleEndian::write_u64(&mut bytes[32..], record.sequence);
        bytes[40..68].copy_from_slice(record.id.as_bytes());
        LittleEndian::write_u32(&mut bytes[68..], record.metadata_bytes);
        LittleEndian::write_u64(&mut bytes[72..], record.data_bytes);
        LittleEndian::write_u64(&mut bytes[80..], record.created_at);
        LittleEndian::write_u64(&mut bytes[88..], record.sealed_at);
        LittleEndian::write_u64(&mut bytes[96..], self.batch_offset);
        LittleEndian::write_u32(&mut bytes[104..], self.checksum);
        LittleEndian::write_u32(&mut bytes[108..], flags);
        let code = code_of(&bytes, key, file, offset);
        bytes[CODE].copy_from_slice(&code);
        bytes
    }

    /// The header that these bytes are, if one was written to this place of this folder.
    pub(crate) fn decode(bytes: &HeaderBytes, key: &FolderKey, file: FileNumber, offset: u64) -> Option<Self> {
        // Most of what a scan looks at is no header, and told from one by its first bytes.
        let is_whole = bytes[..8] == *MAGIC
            && LittleEndian::read_u16(&bytes[8..]) == VERSION
            && bytes[CODE] == code_of(bytes, key, file, offset);
        let flags = LittleEndian::read_u32(&bytes[108..]);
        if !is_whole || flags & !(TOMBSTONE | EVICTABLE) != 0 {
            return None;
        }
        let record = DiskRecord {
            sequence: LittleEndian::read_u64(&bytes[32..]),
            id: ObjectId::new(bytes[40..68].try_into().expect("28 bytes")),
            tombstone: flags & TOMBSTONE != 0,
            data_bytes: LittleEndian::read_u64(&bytes[72..]),
            metadata_bytes: LittleEndian::read_u32(&bytes[68..]),
            format: Format::from_number(LittleEndian::read_u16(&bytes[10..]))?,
            evictable: flags & EVICTABLE != 0,
            created_at: LittleEndian::read_u64(&bytes[80..]),
            sealed_at: LittleEndian::read_u64(&bytes[88..]),
        };
        Some(Self {
            record,
            batch_offset: LittleEndian::read_u64(&bytes[96..]),
            checksum: LittleEndian::read_u32(&bytes[104..]),
        })
    }
}

/// The code of a header at this place, whatever code stands in it.
fn code_of(bytes: &HeaderBytes, key: &FolderKey, file: FileNumber, offset: u64) -> [u8; 16] {
    let mut hasher = SipHasher24::new_with_key(key);
    hasher.write(&bytes[..CODE.start]);
    hasher.write(&bytes[CODE.end..]);
    hasher.write(&file.0.to_le_bytes());
    hasher.write(&offset.to_le_bytes());
    hasher.finish128().as_bytes()
}

const MAGIC: &[u8; 8] = b"plasmadR";
const VERSION: u16 = 2;
/// Where the code stands.
const CODE: Range<usize> = 16..32;
const TOMBSTONE: u32 = 1;
const EVICTABLE: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: FolderKey = [7; 16];
    const FILE: FileNumber = FileNumber(3);
    const OFFSET: u64 = 12_288;

    fn encode(header: &Header) -> HeaderBytes {
        header.encode(&KEY, FILE, OFFSET)
    }

    fn decode(bytes: &HeaderBytes) -> Option<Header> {
        Header::decode(bytes, &KEY, FILE, OFFSET)
    }

    fn headers() -> Vec<Header> {
        let record = DiskRecord {
            sequence: 0x0102_0304_0506_0708,
            id: ObjectId::new([0xAB; 28]),
            tombstone: false,
            data_bytes: 5_000_000_000,
            metadata_bytes: 65_536,
            format: Format::Arrow,
            evictable: true,
            created_at: 1_700_000_000_000_000_001,
            sealed_at: 1_700_000_000_000_000_002,
        };
        let plain = Header { record, batch_offset: 8192, checksum: 0xDEAD_BEEF };
        let tombstone = DiskRecord { tombstone: true, data_bytes: 0, metadata_bytes: 0, evictable: false, ..record };
        let edge = DiskRecord { sequence: u64::MAX, data_bytes: u64::MAX, metadata_bytes: u32::MAX, ..record };
        vec![plain, Header { record: tombstone, checksum: 0, ..plain }, Header { record: edge, ..plain }]
    }

    #[test]
    fn a_header_reads_back_as_it_was_written() {
        for header in headers() {
            assert_eq!(decode(&encode(&header)), Some(header));
        }
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_noticed() {
        for header in headers() {
            let bytes = encode(&header);
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes;
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(decode(&flipped), None, "bit {bit} of {header:?}");
            }
        }
    }

    #[test]
    fn another_folders_header_zeros_and_noise_are_no_headers() {
        let bytes = encode(&headers()[0]);
        assert_eq!(Header::decode(&bytes, &[8; 16], FILE, OFFSET), None);
        assert_eq!(decode(&[0; 128]), None);
        assert_eq!(decode(&[0xFF; 128]), None);
        // Each byte decides: what is torn in the middle is none.
        for kept in 0..128 {
            let mut torn = [0; 128];
            torn[..kept].copy_from_slice(&bytes[..kept]);
            let rest_is_zeros = bytes[kept..].iter().all(|byte| *byte == 0);
            assert_eq!(decode(&torn).is_some(), rest_is_zeros, "{kept} bytes are left");
        }
    }

    /// What a client may have read in one place, it may have put into its own data anywhere.
    #[test]
    fn a_copy_of_a_header_is_none_at_another_place_and_tells_nothing_else_at_its_own() {
        let bytes = encode(&headers()[0]);
        for (file, offset) in [(FILE, OFFSET + 64), (FILE, 0), (FileNumber(4), OFFSET)] {
            assert_eq!(Header::decode(&bytes, &KEY, file, offset), None);
        }
        let mut renamed = bytes;
        renamed[40..68].fill(0xAC);
        let mut later = bytes;
        later[32..40].fill(0xFF);
        let mut of_another = bytes;
        of_another[CODE].copy_from_slice(&encode(&headers()[1])[CODE]);
        assert_eq!([renamed, later, of_another].map(|bytes| decode(&bytes)), [None; 3]);
    }

    #[test]
    fn a_header_stands_in_the_bytes_that_the_document_tells() {
        let header = headers()[0];
        let bytes = encode(&header);
        assert_eq!(bytes[..16], *b"plasmadR\x02\0\x02\0\0\0\0\0");
        let signed = [&bytes[..16], &bytes[32..], &3u32.to_le_bytes(), &12_288u64.to_le_bytes()].concat();
        assert_eq!(bytes[16..32], SipHasher24::new_with_key(&KEY).hash(&signed).as_bytes());
        assert_eq!(bytes[32..40], header.record.sequence.to_le_bytes());
        assert_eq!(bytes[40..68], [0xAB; 28]);
        assert_eq!(bytes[68..72], 65_536u32.to_le_bytes());
        assert_eq!(bytes[72..80], 5_000_000_000u64.to_le_bytes());
        assert_eq!(
            bytes[80..96],
            [header.record.created_at.to_le_bytes(), header.record.sealed_at.to_le_bytes()].concat()
        );
        assert_eq!(bytes[96..104], 8192u64.to_le_bytes());
        assert_eq!(bytes[104..112], *b"\xEF\xBE\xAD\xDE\x02\0\0\0");
        assert_eq!(bytes[112..], [0; 16]);
    }
}
