//! The libFuzzer program of the target `hello`.

#![no_main]
#![allow(unsafe_code, missing_docs)]

plasmad_fuzz::program!("hello");
