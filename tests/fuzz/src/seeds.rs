//! Where the fuzzers start: the golden frames of `protocol/vectors`, in the form each target reads.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::Value;

/// A target's first inputs.
///
/// # Panics
/// If a file of golden frames isn't one.
pub fn of(target: &str) -> Vec<Vec<u8>> {
    let requests = || frames("valid_requests.json");
    let responses = || frames("valid_responses.json");
    let invalid = || frames("invalid.json");
    // Kind and body: the header without its length, flags and number.
    let message = |frame: &Vec<u8>| [&frame[4..6], &frame[16..]].concat();
    let body = |frame: &Vec<u8>| frame[16..].to_vec();
    let of_kind = |frames: Vec<Vec<u8>>, kind: [u8; 2]| frames.into_iter().filter(move |frame| frame[4..6] == kind);
    match target {
        "frame" => requests().into_iter().chain(responses()).chain(invalid()).collect(),
        "response" | "reads-two-as-true" => responses().iter().chain(&invalid()).map(message).collect(),
        "hello" => {
            let hellos = of_kind(requests(), [1, 0]).map(|frame| [vec![0], body(&frame)].concat());
            hellos.chain(of_kind(responses(), [1, 0x80]).map(|frame| [vec![1], body(&frame)].concat())).collect()
        }
        // The bodies are of no particular type; as whole lists and structures they are good material.
        "value" => {
            let bodies = requests().iter().chain(&responses()).map(body).collect::<Vec<_>>();
            (0u8..34).flat_map(|which| bodies.iter().map(move |body| [vec![which], body.clone()].concat())).collect()
        }
        "stream" => {
            let all = responses().concat();
            let some = responses().chunks(3).map(|frames| [vec![7], frames.concat()].concat()).collect::<Vec<_>>();
            let bad = invalid().into_iter().map(|frame| [vec![16], all[..200].to_vec(), frame].concat());
            some.into_iter().chain(bad).chain([[vec![5], all.clone()].concat()]).collect()
        }
        "size" => SIZES.iter().map(|text| text.as_bytes().to_vec()).collect(),
        "store" => (0..64).map(crate::store::seed).collect(),
        "planted" => requests().iter().chain(&responses()).map(message).collect(),
        _ => requests().iter().chain(&invalid()).map(message).collect(),
    }
}

/// Writes a target's first inputs into a folder, one a file.
pub fn write(target: &str, folder: &Path) -> io::Result<usize> {
    fs::create_dir_all(folder)?;
    let seeds = of(target);
    for (number, seed) in seeds.iter().enumerate() {
        fs::write(folder.join(format!("seed-{number:04}")), seed)?;
    }
    Ok(seeds.len())
}

/// The frames of one file, whole.
fn frames(file: &str) -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../protocol/vectors").join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let documents: Vec<Value> = serde_json::from_str(&text).expect("a JSON array");
    documents.iter().map(|document| bytes(document["frame"].as_str().expect("a frame in hex digits"))).collect()
}

/// Bytes behind hex digits.
///
/// # Panics
/// If it isn't made of pairs of them.
pub fn bytes(hex: &str) -> Vec<u8> {
    let digit = |digit: u8| (digit as char).to_digit(16).expect("a hex digit") as u8;
    hex.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

const SIZES: &[&str] = &[
    "0",
    "4096",
    "64KiB",
    "2 gib",
    "1.5MiB",
    "30%",
    "100 %",
    "18446744073709551615",
    "16777216TiB",
    "0.1TiB",
    ".5 B",
    "12 GB",
    "1e400",
    "GiB",
    "1.2.3MiB",
    "-1",
    "\u{a0}7\u{a0}KiB",
];
