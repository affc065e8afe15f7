//! The libFuzzer program of the target `store`.

#![no_main]
#![allow(unsafe_code, missing_docs)]

plasmad_fuzz::program!("store");
