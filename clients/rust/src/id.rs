//! Making object ids.
//!
//! Invariant: ids made here don't collide: those of a connection carry the number the daemon gave it and a counter,
//! random ones carry 224 random bits, named ones a hash.

use std::fs::File;
use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};

use plasmad_wire::ObjectId;
use sha2::{Digest, Sha224};

/// The id of an object with a name: SHA-224 of the UTF-8 text, the same in every language.
///
/// ```
/// let id = plasmad_client::id::from_name("train/epoch-3");
/// assert_eq!(id, plasmad_client::id::from_name("train/epoch-3"));
/// ```
pub fn from_name(name: &str) -> ObjectId {
    ObjectId::new(Sha224::digest(name.as_bytes()).into())
}

/// An id that nobody has made before.
///
/// # Panics
/// If the system gives no random bytes.
pub fn random() -> ObjectId {
    ObjectId::new(random_bytes())
}

/// Makes the ids of one connection: its number, a counter, and 12 random bytes drawn once.
#[derive(Debug)]
pub(crate) struct IdMaker {
    client: u64,
    made: AtomicU64,
    random: [u8; 12],
}

impl IdMaker {
    pub(crate) fn new(client: u64) -> Self {
        Self { client, made: AtomicU64::new(0), random: random_bytes() }
    }

    /// The number of an id that was made here; `None` for any other.
    pub(crate) fn number(&self, id: &ObjectId) -> Option<u64> {
        let bytes = id.as_bytes();
        let is_own = bytes[0..8] == self.client.to_le_bytes() && bytes[16..28] == self.random;
        is_own.then(|| u64::from_le_bytes(bytes[8..16].try_into().expect("8 bytes")))
    }

    pub(crate) fn next(&self) -> ObjectId {
        let counter = self.made.fetch_add(1, Ordering::Relaxed);
        let mut bytes = [0; ObjectId::BYTES];
        bytes[0..8].copy_from_slice(&self.client.to_le_bytes());
        bytes[8..16].copy_from_slice(&counter.to_le_bytes());
        bytes[16..28].copy_from_slice(&self.random);
        ObjectId::new(bytes)
    }
}

fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.expect("/dev/urandom gives random bytes");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_hashed_with_sha_224() {
        let expected = "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7";
        assert_eq!(from_name("abc").to_string(), expected);
    }

    #[test]
    fn a_connections_ids_start_with_its_number() {
        let ids = IdMaker::new(0x0102);
        let (first, second) = (ids.next(), ids.next());
        assert_eq!(first.as_bytes()[..8], [2, 1, 0, 0, 0, 0, 0, 0]);
        assert_ne!(first, second);
        assert_eq!(first.as_bytes()[16..], second.as_bytes()[16..]);
        assert_eq!((ids.number(&first), ids.number(&second)), (Some(0), Some(1)));
        assert_eq!(IdMaker::new(0x0102).number(&first), None, "a namesake's of another store");
    }

    #[test]
    fn random_ids_differ() {
        assert_ne!(random(), random());
    }
}
