//! What objects hold, so that a wrong byte is told at sight.
//!
//! Key, version and length, then words that follow from them.

use plasmad_client::ObjectId;

/// The id of a key.
pub(super) fn id(key: u64) -> ObjectId {
    ObjectId::from_slice(&(key + 1).to_be_bytes()).unwrap()
}

/// An object of so many words, three at least.
pub(super) fn bytes(key: u64, version: u64, count: u64) -> Vec<u8> {
    let words = [key, version, count].into_iter().chain((3..count).map(|at| word(key, version, at)));
    words.flat_map(u64::to_le_bytes).collect()
}

/// Looks at every word.
pub(super) fn check(key: u64, found: &[u8]) {
    let (version, count) = check_ends(key, found);
    let wrong = (3..count).find(|number| word_at(found, *number) != word(key, version, *number));
    assert_eq!(wrong, None, "WRONG BYTES: in a word of {key}, version {version:#x}");
}

/// Looks at the header and the last word: quick, so that most of the time is spent where it could go wrong.
pub(super) fn check_ends(key: u64, found: &[u8]) -> (u64, u64) {
    let (found_key, version, count) = (word_at(found, 0), word_at(found, 1), word_at(found, 2));
    assert_eq!(found_key, key, "WRONG BYTES: the key of another object, version {version:#x}");
    assert_eq!(count * 8, found.len() as u64, "WRONG BYTES: the length of another version of {key}");
    if count > 3 {
        let last = count - 1;
        assert_eq!(word_at(found, last), word(key, version, last), "WRONG BYTES: the last word of {key}");
    }
    (version, count)
}

fn word_at(bytes: &[u8], number: u64) -> u64 {
    let word = bytes.chunks_exact(8).nth(number as usize);
    word.map_or(0, |word| u64::from_le_bytes(word.try_into().unwrap()))
}

fn word(key: u64, version: u64, at: u64) -> u64 {
    (key ^ version.rotate_left(17)).wrapping_add(at).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
