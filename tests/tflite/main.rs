//! Files written and read again, files made elsewhere, and files that are broken.

mod broken;
#[path = "../common/mod.rs"]
mod common;
mod elsewhere;
mod foreign;
mod inspection;
mod layout;
mod litert;
mod ops;
mod regions;
mod round_trip;
