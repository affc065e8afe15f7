//! All tests.

#[path = "core/mod.rs"]
mod core_rules;
mod support;
