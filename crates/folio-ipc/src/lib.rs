//! Memory that processes share: a file of named objects, with locks in it that survive the death
//! of their owner.
#![forbid(unsafe_code)]

mod raw;
