//! Layout: transposes are moved and cancelled, and not a number changes.
//!
//! Tensors hold small whole numbers, so that sums are exact in any order and results can be compared bit by bit.

mod boundary;
mod random;
mod reactions;
mod structure;
mod support;
