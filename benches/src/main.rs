//! The store's own figures beside the machine's own limits, each pair measured in turns within the same round.
//!
//! `make bench` prints a table and writes `target/bench.json`. A ratio is the median of the rounds' ratios: what else
//! the machine does in a round slows both halves of it alike.

mod alloc_fill;
mod large_put;
mod report;
mod rounds;
mod socket;
mod start;

use std::path::Path;

use report::Row;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next();
    if first.as_deref() == Some(socket::ECHO) {
        return socket::echo(&arguments.next().expect("a socket's path"));
    }
    let wanted: Vec<String> = first.map(|rows| rows.split(',').map(str::to_owned).collect()).unwrap_or_default();
    let mut rows = Vec::new();
    for (name, measure) in ROWS {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            let measured = measure();
            report::print(&measured);
            rows.extend(measured);
        }
    }
    report::write(&rows, Path::new("target/bench.json"));
}

type Measure = fn() -> Vec<Row>;

const ROWS: &[(&str, Measure)] = &[
    ("create_seal_socket", socket::create_seal),
    ("get_socket", socket::get),
    ("put_100m", large_put::put_100m),
    ("start_16g", start::start_16g),
    ("alloc_fill", alloc_fill::alloc_fill),
];
