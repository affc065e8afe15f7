//! The libFuzzer program of the target `size`.

#![no_main]
#![allow(unsafe_code, missing_docs)]

plasmad_fuzz::program!("size");
