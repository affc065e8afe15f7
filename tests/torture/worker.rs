//! What one process does to the store, and how it tells a wrong byte.

use plasmad_client::{CreateOptions, Error, ObjectId, Reader, Store, Timeout};

use super::content::{bytes, check, check_ends, id};
use crate::support::Random;

/// What was done since the last time it was told.
#[derive(Clone, Default, Debug)]
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

    pub(super) fn has_done(&self, goal: &Self) -> bool {
        self.gets >= goal.gets && self.puts >= goal.puts && self.deletes_under_pin >= goal.deletes_under_pin
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
        write_one(&store, slot, &mut random, &mut counts);
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
    let data: Vec<Vec<u8>> = keys.iter().map(|key| some_bytes(*key, random)).collect();
    let data: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
    match store.put_many(&data, Some(&ids), &CreateOptions::default()) {
        Ok(_) => counts.puts += BATCH,
        Err(Error::Exists { .. } | Error::Full { .. }) => (),
        Err(error) => panic!("put: {error}"),
    }
}

/// A new version of one of them, larger, and copied into its place by this process.
fn write_one(store: &Store, slot: u64, random: &mut Random, counts: &mut Counts) {
    let key = slot * KEYS_EACH + random.below(KEYS_EACH);
    let bytes = bytes(key, random.bits(), 3 * WORDS_MAX + random.below(WORDS_MAX));
    let options = CreateOptions { id: Some(id(key)), ..CreateOptions::default() };
    match store.delete(&[id(key)]).and_then(|_| store.create(bytes.len() as u64, &options)) {
        Ok(mut writer) => {
            writer.copy_from(0, &bytes);
            writer.seal().unwrap();
            counts.puts += 1;
        }
        // As in `put_some`.
        Err(Error::NotSealed { .. } | Error::Exists { .. } | Error::Full { .. }) => (),
        Err(error) => panic!("create: {error}"),
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
        let _ = store.put(&some_bytes(u64::MAX, random), &CreateOptions::default());
        check(key, &buffer);
        counts.deletes_under_pin += 1;
    }
}

fn some_bytes(key: u64, random: &mut Random) -> Vec<u8> {
    bytes(key, random.bits(), 3 + random.below(WORDS_MAX))
}

/// A key of one of those who put.
fn random_key(random: &mut Random) -> u64 {
    KEYS_EACH + random.below(KEYS_EACH * (super::WORKERS - 1))
}

/// The worker that only gets.
const READER: u64 = 0;
const KEYS_EACH: u64 = 512;
const BATCH: u64 = 32;
const GETS_PER_TURN: u64 = 1000;
/// Objects that are put have up to 1 KiB, those that are written 3 KiB and more.
const WORDS_MAX: u64 = 125;
