//! The other process: waits for an object, or puts at the same time as others.

use plasmad_client::{CreateOptions, ObjectId, Store, Timeout};

use crate::protocol::{Answer, Command, Failure};
use crate::source::{Source, compare};
use crate::{Side, clock, say};

#[derive(Default)]
pub(crate) struct Partner {
    store: Option<Store>,
    source: Source,
    size: usize,
    piece: usize,
    made: Option<ObjectId>,
}

impl Side for Partner {
    fn obey(&mut self, command: Command) -> Result<Answer, Failure> {
        if let Command::Connect { address } = command {
            self.store = Some(Store::connect(address)?);
            return Ok(Answer::Connected { connected: true });
        }
        let store = self.store.as_ref().expect("connected first");
        match command {
            Command::Expect { key } => {
                say(&Answer::Waiting { waiting: key });
                let buffer = store.get(id(key), Timeout::None)?;
                let at = clock::now();
                Ok(Answer::Arrived { at, crc: sum(&buffer) })
            }
            Command::ReadyToPut { size, piece } => {
                self.source.grow(size);
                (self.size, self.piece) = (size, piece);
                Ok(Answer::Ready { ready: true })
            }
            Command::PutAt { nanoseconds } => {
                let piece = self.source.piece(self.size, self.piece);
                clock::sleep_until(nanoseconds);
                self.made = Some(store.put(piece, &CreateOptions::default())?);
                Ok(Answer::Done { done: clock::now() })
            }
            Command::Settle { verify } => {
                let made = self.made.take().expect("put before");
                if verify {
                    let found = store.get(made, Timeout::NO_WAIT)?;
                    compare(&found, self.source.piece(self.size, self.piece), self.piece)?;
                }
                store.delete(&[made])?;
                Ok(Answer::Settled { settled: true })
            }
            other => Err(Failure::Failed(format!("a partner doesn't know {other:?}"))),
        }
    }
}

/// The id under which a hand-over's object is published.
pub(crate) fn id(key: u64) -> ObjectId {
    let mut bytes = [0; 28];
    bytes[20..].copy_from_slice(&key.to_be_bytes());
    ObjectId::new(bytes)
}

/// Tells other bytes from those that were put: FNV-1a.
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
