//! The daemon's bytes, cut into answers by the client library: the same answers whatever pieces they come in.

use plasmad_wire::{Header, Response};

use crate::incoming::{Answer, Incoming};
use crate::memory;
use crate::{Outcome, outcome};

/// A byte tells the length of the pieces, the rest is the stream.
pub fn incoming(input: &[u8]) -> Outcome {
    let [length, stream @ ..] = input else { return 0 };
    let length = usize::from(*length).max(1);
    let pieces = || stream.chunks(length);
    let (_, bytes) = memory::peak(|| cut(pieces(), drop));
    let bound = BYTES_AT_FIRST + 2 * memory::bound(stream.len());
    assert!(bytes <= bound, "a stream of {} bytes needed {bytes}", stream.len());
    let mut answers = Vec::new();
    let end = cut(pieces(), |answer| answers.push(answer));
    let (expected, refused) = naively(stream);
    assert_eq!(answers, expected, "in pieces of {length} bytes");
    assert_eq!(end.is_err(), refused, "in pieces of {length} bytes: {end:?}");
    let mut whole = Vec::new();
    assert_eq!(cut([stream].into_iter(), |answer| whole.push(answer)), end, "the pieces make a difference");
    assert_eq!(whole, answers, "the pieces make a difference");
    outcome((expected.len().min(8), end.err()))
}

/// Hands out the answers before the first mistake; the mistake.
fn cut<'a>(pieces: impl Iterator<Item = &'a [u8]>, mut take: impl FnMut(Answer)) -> Result<(), String> {
    let mut incoming = Incoming::new();
    for piece in pieces {
        incoming.push(piece);
        while let Some(answer) = incoming.next_answer()? {
            take(answer);
        }
    }
    Ok(())
}

/// The same by looking at the whole stream: the answers, and whether something is wrong behind them.
fn naively(mut stream: &[u8]) -> (Vec<Answer>, bool) {
    let mut answers = Vec::new();
    loop {
        let header = match Header::parse(stream) {
            Ok(Some(header)) if stream.len() >= header.frame_bytes() => header,
            Ok(_) => return (answers, false),
            Err(_) => return (answers, true),
        };
        let (frame, rest) = stream.split_at(header.frame_bytes());
        match Response::decode(header.kind, &frame[Header::BYTES..]) {
            Some(Ok(response)) => answers.push((header.request, response)),
            _ => return (answers, true),
        }
        stream = rest;
    }
}

/// What a connection keeps for what comes, and some for the sentence about what is wrong with it.
const BYTES_AT_FIRST: usize = 65 * 1024;
