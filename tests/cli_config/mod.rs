//! The configuration, doctor, completions, help and progress of the real program.
//!
//! | module | what is in it |
//! |---|---|
//! | `configuring` | flags, environment, file, defaults; printing and checking |
//! | `doctoring` | each check of `plasmad doctor`, made to fail where that is cheap |
//! | `helping` | help, completions |
//! | `watching` | progress on a terminal, and nowhere else |
//! | `stage` | running the program, and a folder to do it in |

mod configuring;
mod doctoring;
mod helping;
mod stage;
mod watching;
