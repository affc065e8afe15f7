//! The libFuzzer program of the target `value`.

#![no_main]
#![allow(unsafe_code, missing_docs)]

plasmad_fuzz::program!("value");
