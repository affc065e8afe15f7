//! The libFuzzer program of the target `stream`.

#![no_main]
#![allow(unsafe_code, missing_docs)]

plasmad_fuzz::program!("stream");
