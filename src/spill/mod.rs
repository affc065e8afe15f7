//! Objects on disk, as the engine moves them there and back; where and when, the core decides.
//!
//! | module | what is in it |
//! |---|---|
//! | `workers` | the threads that do all this |
//! | `queue` | who does what next |
//! | `meter` | how many bytes went by |
//! | `record` | a record's header |
//! | `backend` | all that is asked of a file system, and a folder that gives it |
//! | `buffer` | memory that a disk takes past the page cache |
//! | `write` | batches written to files |
//! | `recovery` | what a former engine left |
//! | `read` | records read from files |

mod backend;
mod buffer;
mod meter;
mod queue;
mod read;
mod record;
mod recovery;
mod workers;
mod write;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
