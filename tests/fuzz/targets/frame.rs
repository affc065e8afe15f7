//! The libFuzzer program of the target `frame`.

#![no_main]
#![allow(unsafe_code, missing_docs)]

plasmad_fuzz::program!("frame");
