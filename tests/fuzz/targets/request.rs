//! The libFuzzer program of the target `request`.

#![no_main]
#![allow(unsafe_code, missing_docs)]

plasmad_fuzz::program!("request");
