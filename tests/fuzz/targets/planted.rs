//! The libFuzzer program of the target `planted`.

#![no_main]
#![allow(unsafe_code, missing_docs)]

plasmad_fuzz::program!("planted");
