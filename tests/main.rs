//! All tests.

mod bench;
#[path = "core/mod.rs"]
mod core_rules;
mod hostile;
mod model;
mod shared;
mod sim;
mod support;
mod torture;
