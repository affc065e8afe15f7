//! Golden frames.
fn main() {}
