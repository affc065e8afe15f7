//! The pure heart of plasmad: decides, never acts.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod arena;
