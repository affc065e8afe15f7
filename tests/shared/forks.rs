//! Forked children of a client: each is a client of its own from its first verb on, and what it inherited is the
//! parent's to seal and to give back.
//!
//! Every test forks in a process of its own, where no other test holds a lock.

use plasmad_client::testing::Daemon;
use plasmad_client::{CreateOptions, Error, Store, Timeout};
use plasmad_shm::fork::testing::fork;

use crate::it::helpers::{part, told};

/// Plays a part to its end, beside a daemon of its own.
fn plays(name: &str) {
    let daemon = Daemon::start();
    let played = part(&format!("shared::forks::{name}"), &daemon.socket()).output().expect("a process");
    let (said, complained) = (String::from_utf8_lossy(&played.stdout), String::from_utf8_lossy(&played.stderr));
    assert!(played.status.success() && said.contains("1 passed"), "{:?}\n{said}\n{complained}", played.status);
}

#[test]
fn a_child_and_its_parent_put_and_get_at_the_same_time() {
    plays("parent_and_child_at_once");
}

#[test]
#[ignore = "a part in another test"]
fn parent_and_child_at_once() {
    let Some(socket) = told() else { return };
    let store = Store::connect(socket).unwrap();
    let shared = store.put(b"from before", &CreateOptions::default()).unwrap();
    let works = |letter: u8| {
        // Puts by ring and objects larger than any grant; all of them are asked for again.
        for round in 0..2000usize {
            let data = vec![letter; if round % 100 == 0 { 100_000 } else { round }];
            let id = store.put(&data, &CreateOptions::default()).unwrap();
            assert_eq!(store.get(id, Timeout::NO_WAIT).unwrap()[..], data);
            assert_eq!(&store.get(shared, Timeout::NO_WAIT).unwrap()[..], b"from before");
            assert_eq!(store.delete(&[id]).unwrap(), 1);
        }
    };
    let client = store.welcome().unwrap().client;
    let children = [b'b', b'c'].map(|letter| {
        fork(|| {
            works(letter);
            assert_ne!(store.welcome().unwrap().client, client);
        })
    });
    works(b'a');
    assert_eq!(store.welcome().unwrap().client, client);
    assert!(children.into_iter().all(|child| child.wait()));
    assert_eq!(store.list(None).unwrap().total, 1);
}

#[test]
fn a_child_can_neither_seal_nor_abort_what_its_parent_creates() {
    plays("parent_of_an_unsealed_object");
}

#[test]
#[ignore = "a part in another test"]
fn parent_of_an_unsealed_object() {
    let Some(socket) = told() else { return };
    let store = Store::connect(socket).unwrap();
    // The first is told of on the ring, the second is asked for.
    for bytes in [6, 1 << 20] {
        let mut writer = Some(store.create(bytes, &CreateOptions::default()).unwrap());
        for ends in [Ends::Seal, Ends::Abort, Ends::Drop] {
            let child = fork(|| {
                let writer = writer.take().unwrap();
                match ends {
                    Ends::Seal => assert!(matches!(writer.seal(), Err(Error::WrongState { .. }))),
                    Ends::Abort => assert!(matches!(writer.abort(), Err(Error::WrongState { .. }))),
                    Ends::Drop => drop(writer),
                }
            });
            assert!(child.wait(), "{ends:?} of {bytes}");
        }
        let mut writer = writer.take().unwrap();
        writer.copy_from(0, b"intact");
        let id = writer.seal().unwrap();
        assert_eq!(&store.get(id, Timeout::NO_WAIT).unwrap()[..6], b"intact");
    }
}

#[derive(Clone, Copy, Debug)]
enum Ends {
    Seal,
    Abort,
    Drop,
}
