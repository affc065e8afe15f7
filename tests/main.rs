//! All tests.

#[path = "core/mod.rs"]
mod core_rules;
mod model;
mod sim;
mod support;
