//! As many objects as there can be.

use plasmad_client::testing::Daemon;
use plasmad_client::{CreateOptions, Error, ObjectId, Store, Timeout};

use super::memory::{Memory, engine_pid};
use super::numbers::number;
use crate::support::Random;

#[test]
#[ignore = "takes 2 GiB of memory, and a minute without optimisation"]
fn five_million_small_objects_are_kept_where_they_are_asked_for() {
    let most = OBJECTS.to_string();
    let daemon = Daemon::with(&["--memory", "2GiB", "--max-objects", &most, "--populate", "none"]);
    let store = Store::connect(daemon.socket()).expect("connect");
    let before = Memory::of(engine_pid(&store));
    let put = |number: u64| store.put(&data(number), &CreateOptions::default());
    let ids: Vec<ObjectId> = (0..OBJECTS).map(|number| put(number).expect("room")).collect();
    assert_eq!((number(&store, "objects/sealed"), number(&store, "index/used")), (OBJECTS, OBJECTS));
    let by_ring = number(&store, "totals/puts_ring");
    assert!(by_ring > OBJECTS / 100 * 99, "{by_ring} by ring");

    let after = Memory::of(engine_pid(&store));
    let each = |name: &str| (after.part(name) - before.part(name)) as f64 / OBJECTS as f64;
    let (heap, index, arena) = (each("heap"), each("plasmad-index"), each("plasmad-arena"));
    println!(
        "each of {OBJECTS} objects of 64 bytes: {heap:.1} bytes of heap, {index:.1} of index, {arena:.1} of the arena"
    );
    assert!(heap <= HEAP_BYTES_EACH && index <= INDEX_BYTES_EACH && arena < 65.0, "{before:?} {after:?}");

    let mut random = Random(1);
    let is_right =
        |number: u64, id: ObjectId| store.get(id, Timeout::NO_WAIT).expect("it is there")[..] == data(number);
    for _ in 0..LOOKS {
        let number = random.below(OBJECTS);
        assert!(is_right(number, ids[number as usize]), "object {number}");
    }
    let refused = put(OBJECTS);
    let sentence = "there are 5000000 objects, as many as this store can have: delete some, or start plasmad with more \
                    --max-objects";
    assert!(matches!(&refused, Err(Error::Limit { message }) if message == sentence), "{refused:?}");
    assert_eq!(store.delete(&ids[7..8]).expect("delete"), 1);
    let id = put(OBJECTS).expect("there is a slot again");
    assert!(is_right(OBJECTS, id) && is_right(8, ids[8]) && !store.contains(ids[7]).expect("contains"));
    assert!(put(7).is_err(), "and it was the only one");
}

fn data(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(8)
}

const OBJECTS: u64 = 5_000_000;
const LOOKS: u64 = 200_000;
/// What docs/OPERATING.md says of each object, where nothing may be dropped.
const HEAP_BYTES_EACH: f64 = 240.0;
const INDEX_BYTES_EACH: f64 = 72.0;
