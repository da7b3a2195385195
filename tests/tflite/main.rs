//! Files written and read again, files made elsewhere, and files that are broken.

mod broken;
mod elsewhere;
mod ops;
mod round_trip;
