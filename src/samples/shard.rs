//! A part of the samples, for one of several processes or machines, and what tells samples from others.

use std::path::Path;
use std::str::FromStr;
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use super::{Samples, Source};

/// Part `number` of `parts`: of the samples in order, every `parts`-th one from the `number`-th on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    number: usize,
    parts: usize,
}

impl Shard {
    /// All samples.
    pub const ALL: Shard = Shard { number: 1, parts: 1 };

    /// `None` where `number` is not one of 1 to `parts`.
    pub fn new(number: usize, parts: usize) -> Option<Shard> {
        (1..=parts).contains(&number).then_some(Shard { number, parts })
    }

    /// How many of `count` samples are in it.
    pub(super) fn len(self, count: usize) -> usize {
        count.saturating_sub(self.number - 1).div_ceil(self.parts)
    }

    /// Which of all samples the `i`-th is.
    pub(super) fn at(self, i: usize) -> usize {
        i * self.parts + self.number - 1
    }
}

impl Default for Shard {
    fn default() -> Shard {
        Shard::ALL
    }
}

impl FromStr for Shard {
    type Err = &'static str;

    /// `1/4` to `4/4`.
    fn from_str(text: &str) -> Result<Shard, &'static str> {
        let numbers =
            text.split_once('/').and_then(|(number, parts)| Some((number.parse().ok()?, parts.parse().ok()?)));
        numbers.and_then(|(number, parts)| Shard::new(number, parts)).ok_or("expected I/N, as 1/4, 2/4, 3/4 and 4/4")
    }
}

impl Samples {
    /// A part of these samples; of all of them, where they are a part already.
    #[must_use]
    pub fn shard(self, shard: Shard) -> Samples {
        Samples { shard, ..self }
    }

    /// What changes with the samples: names, sizes and times of files, numbers in memory. In hexadecimal.
    pub fn identity(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(format!("{:?} {:?} {:?}\n", self.shard, self.inputs, self.images));
        let file = |hash: &mut Sha256, path: &Path| {
            let data = path.metadata();
            let time = data.as_ref().ok().and_then(|data| data.modified().ok()?.duration_since(UNIX_EPOCH).ok());
            hash.update(format!("{path:?} {:?} {time:?}\n", data.ok().map(|data| data.len())));
        };
        match &self.source {
            Source::Files(files) => files.iter().for_each(|path| file(&mut hash, path)),
            Source::Stacked { path, count, .. } => {
                file(&mut hash, path);
                hash.update(format!("{count}"));
            }
            Source::Memory(samples) => {
                samples.iter().for_each(|sample| sample.iter().for_each(|tensor| hash.update(tensor.bytes())));
            }
            Source::Named(samples) => {
                samples.iter().for_each(|sample| sample.values().for_each(|tensor| hash.update(tensor.bytes())));
            }
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_deal_out_every_sample_once() {
        for (count, parts) in [(10, 3), (2, 5), (0, 2), (7, 1)] {
            let shards = (1..=parts).map(|number| Shard::new(number, parts).unwrap());
            let mut all: Vec<usize> = shards.flat_map(|s| (0..s.len(count)).map(move |i| s.at(i))).collect();
            all.sort_unstable();
            assert_eq!(all, (0..count).collect::<Vec<_>>(), "{count} in {parts}");
        }
    }

    #[test]
    fn shards_are_written_as_part_of_parts() {
        assert_eq!("2/3".parse(), Ok(Shard::new(2, 3).unwrap()));
        for wrong in ["", "2", "0/3", "4/3", "1/0", "-1/2", "1/2/3"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }
}
