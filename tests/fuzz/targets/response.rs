//! The libFuzzer program of the target `response`.

#![no_main]
#![allow(unsafe_code, missing_docs)]

plasmad_fuzz::program!("response");
