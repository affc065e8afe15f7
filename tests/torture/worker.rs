//! What one process does to the store, and how it tells a wrong byte.

use plasmad_client::{CreateOptions, Error, ObjectId, Reader, Store, Timeout};

use crate::support::Random;

/// What was done since the last time it was told.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) gets: u64,
    pub(super) misses: u64,
    pub(super) puts: u64,
    pub(super) deletes_under_pin: u64,
}

impl Counts {
    pub(super) fn add(&mut self, other: &Self) {
        self.gets += other.gets;
        self.misses += other.misses;
        self.puts += other.puts;
        self.deletes_under_pin += other.deletes_under_pin;
    }

    fn tell(&mut self) {
        println!("counts {} {} {} {}", self.gets, self.misses, self.puts, self.deletes_under_pin);
        *self = Self::default();
    }

    pub(super) fn parse(line: &str) -> Option<Self> {
        let numbers: Vec<u64> = line.split("counts ").nth(1)?.split(' ').map_while(|it| it.parse().ok()).collect();
        let [gets, misses, puts, deletes_under_pin] = numbers[..] else { return None };
        Some(Self { gets, misses, puts, deletes_under_pin })
    }
}

/// Works until it is killed, or finds a wrong byte.
pub(super) fn run(told: &str) {
    let parts: Vec<&str> = told.split(' ').collect();
    let (slot, seed): (u64, u64) = (parts[1].parse().unwrap(), parts[2].parse().unwrap());
    let store = Store::connect(parts[0]).unwrap();
    let reader = store.reader().unwrap();
    let mut random = Random(seed);
    let mut counts = Counts::default();
    if slot == READER {
        // Where most of the time is spent, a fault is hit most often.
        loop {
            (0..100 * GETS_PER_TURN).for_each(|_| get_one(&store, &mut random, &mut counts));
            counts.tell();
        }
    }
    loop {
        put_some(&store, slot, &mut random, &mut counts);
        for _ in 0..GETS_PER_TURN {
            get_one(&store, &mut random, &mut counts);
        }
        ask_for_one(&reader, &mut random, &mut counts);
        delete_under_a_pin(&store, slot, &mut random, &mut counts);
        counts.tell();
    }
}

/// New versions of some objects of this worker's.
fn put_some(store: &Store, slot: u64, random: &mut Random, counts: &mut Counts) {
    let first = random.below(KEYS_EACH / BATCH) * BATCH;
    let keys: Vec<u64> = (first..first + BATCH).map(|key| slot * KEYS_EACH + key).collect();
    let ids: Vec<ObjectId> = keys.iter().map(|key| id(*key)).collect();
    match store.delete(&ids) {
        Ok(_) => (),
        // The worker before this one was killed while its put was under way.
        Err(Error::NotSealed { .. }) => return,
        Err(error) => panic!("delete: {error}"),
    }
    let data: Vec<Vec<u8>> = keys.iter().map(|key| bytes(*key, random.bits())).collect();
    let data: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
    match store.put_many(&data, Some(&ids), &CreateOptions::default()) {
        Ok(_) => counts.puts += BATCH,
        Err(Error::Exists { .. } | Error::Full { .. }) => (),
        Err(error) => panic!("put: {error}"),
    }
}

/// Most gets ask nobody: they are what could go wrong.
fn get_one(store: &Store, random: &mut Random, counts: &mut Counts) {
    let key = random_key(random);
    let Some(buffer) = store.get_without_asking(id(key)).expect("the daemon lives") else {
        counts.misses += 1;
        return;
    };
    check_ends(key, &buffer);
    if random.percent(2) {
        // Long enough for others to take what isn't held.
        (0..random.below(1000)).for_each(|_| std::hint::spin_loop());
        check(key, &buffer);
    }
    counts.gets += 1;
}

fn ask_for_one(reader: &Reader, random: &mut Random, counts: &mut Counts) {
    let key = random_key(random);
    match reader.get(id(key), Timeout::NO_WAIT) {
        Ok(view) => {
            check(key, &view);
            counts.gets += 1;
        }
        Err(Error::Timeout { .. }) => counts.misses += 1,
        Err(error) => panic!("get: {error}"),
    }
}

fn delete_under_a_pin(store: &Store, slot: u64, random: &mut Random, counts: &mut Counts) {
    for _ in 0..4 {
        let key = slot * KEYS_EACH + random.below(KEYS_EACH);
        let Ok(buffer) = store.get(id(key), Timeout::NO_WAIT) else { continue };
        store.delete(&[id(key)]).unwrap();
        // Something new, which would like to lie there.
        let _ = store.put(&bytes(u64::MAX, random.bits()), &CreateOptions::default());
        check(key, &buffer);
        counts.deletes_under_pin += 1;
    }
}

/// A key of one of those who put.
fn random_key(random: &mut Random) -> u64 {
    KEYS_EACH + random.below(KEYS_EACH * (super::WORKERS - 1))
}

fn id(key: u64) -> ObjectId {
    ObjectId::from_slice(&(key + 1).to_be_bytes()).unwrap()
}

/// Key, version and length, then words that follow from them.
fn bytes(key: u64, version: u64) -> Vec<u8> {
    let count = 3 + version % WORDS_MAX;
    let mut words = vec![key, version, count];
    words.extend((3..count).map(|at| word(key, version, at)));
    words.into_iter().flat_map(u64::to_le_bytes).collect()
}

/// Every word.
fn check(key: u64, found: &[u8]) {
    let (version, count) = check_ends(key, found);
    let wrong = (3..count).find(|number| word_at(found, *number) != word(key, version, *number));
    assert_eq!(wrong, None, "WRONG BYTES: in a word of {key}, version {version:#x}");
}

/// The header and the last word: quick, so that most of the time is spent where it could go wrong.
fn check_ends(key: u64, found: &[u8]) -> (u64, u64) {
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

/// The worker that only gets.
const READER: u64 = 0;
const KEYS_EACH: u64 = 512;
const BATCH: u64 = 32;
const GETS_PER_TURN: u64 = 1000;
/// Objects have up to 1 KiB.
const WORDS_MAX: u64 = 125;
