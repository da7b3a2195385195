//! Accounts of small graphs whose noise is known.
