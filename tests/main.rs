//! All tests.

mod bench;
mod cli_config;
#[path = "core/mod.rs"]
mod core_rules;
mod eviction;
mod hostile;
mod it;
mod model;
mod shared;
mod sim;
mod spill;
mod subscriptions;
mod support;
mod tidy;
mod torture;
