//! The bytes that are put: the same as in `source.py`, which says how they are made.

use sha2::{Digest, Sha256};

use crate::protocol::Failure;

/// Grows to what the largest row needs; a small row stays in the cache.
#[derive(Default)]
pub(crate) struct Source {
    bytes: Vec<u8>,
}

impl Source {
    /// Makes sure that every piece of `size` bytes is there.
    pub(crate) fn grow(&mut self, size: usize) {
        let bytes = (size + PIECES * STEP).next_multiple_of(MIB);
        if self.bytes.len() >= bytes {
            return;
        }
        let block: Vec<u8> = (0..MIB as u64 / 32).flat_map(|number| Sha256::digest(number.to_le_bytes())).collect();
        self.bytes = Vec::with_capacity(bytes);
        for number in 0..bytes as u64 / MIB as u64 {
            self.bytes.extend_from_slice(&number.to_le_bytes());
            self.bytes.extend_from_slice(&block[8..]);
        }
    }

    /// What call number `at` puts; [`Self::grow`] has made it.
    pub(crate) fn piece(&self, size: usize, at: usize) -> &[u8] {
        let start = at % PIECES * STEP;
        &self.bytes[start..start + size]
    }
}

/// Is it what was put?
pub(crate) fn compare(found: &[u8], wanted: &[u8], at: usize) -> Result<(), Failure> {
    if found == wanted {
        return Ok(());
    }
    let first = found.iter().zip(wanted).position(|(ours, theirs)| ours != theirs);
    let where_at = first.unwrap_or(found.len().min(wanted.len()));
    let lengths = (found.len(), wanted.len());
    Err(Failure::Wrong(format!(
        "call {at}: of {} bytes for {} the first wrong one is {where_at}",
        lengths.0, lengths.1
    )))
}

/// The first call's object, the last one's, and every sixteenth are read back.
pub(crate) fn is_verified(at: usize, calls: usize) -> bool {
    at + 1 == calls || at.is_multiple_of(16)
}

pub(crate) const MIB: usize = 1 << 20;
const STEP: usize = 64;
const PIECES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_python_side() {
        let mut source = Source::default();
        source.grow(MIB);
        // sha256 of source.py's Source().pieces(1 << 20)[3], as tests/python/test_compare.py has it too.
        let digest = Sha256::digest(source.piece(MIB, 3));
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "6ccaa2f8490a67e227c5c2eb8ac8a104d591a4b25a6da11b427cc7efd86ae0ad");
    }

    #[test]
    fn another_calls_bytes_are_noticed() {
        let mut source = Source::default();
        source.grow(4096);
        assert!(compare(source.piece(4096, 1), source.piece(4096, 1), 1).is_ok());
        assert!(compare(source.piece(4096, 1), source.piece(4096, 2), 2).is_err());
        assert!(compare(&source.piece(4096, 1)[..4095], source.piece(4096, 1), 1).is_err());
    }
}
