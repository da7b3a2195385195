//! The ZIP archive that task libraries keep labels and vocabularies in: it follows everything else in the file.
//!
//! Its offsets count from the start of the file, so that it has to be told where it lies. A model keeps it with offsets that
//! count from its own start.

use bytes::Bytes;

const END: &[u8] = b"PK\x05\x06";
const END_LEN: usize = 22;
const ENTRY: &[u8] = b"PK\x01\x02";
const ENTRY_LEN: usize = 46;
const CONTENT: &[u8] = b"PK\x03\x04";

/// A directory and where its entries say that their content is.
struct Directory {
    /// Position of the directory's end record.
    end: usize,
    /// Positions of the fields that hold offsets of contents.
    fields: Vec<usize>,
    /// What has to be added to an offset to get a position.
    shift: usize,
    first_content: usize,
}

/// The archive at the end of `file`, where there is one. Empty archives and those past 4 GB don't count.
pub(super) fn find(file: &Bytes) -> Option<Bytes> {
    let directory = directory(file)?;
    let start = directory.first_content;
    let archive = file.slice(start..);
    // Offsets that count from the start of the file become ones that count from the archive's.
    moved(&archive, &directory_of_part(&directory, start)?, start.checked_sub(directory.shift)?, 0)
}

/// The archive as it stands at `position` of a file.
pub(super) fn placed(archive: &Bytes, position: u64) -> Option<Bytes> {
    moved(archive, &directory(archive)?, 0, usize::try_from(position).ok()?)
}

/// Every offset less `minus` and plus `plus`.
fn moved(archive: &Bytes, directory: &Directory, minus: usize, plus: usize) -> Option<Bytes> {
    let mut bytes = archive.to_vec();
    for at in directory.fields.iter().copied().chain([directory.end + 16]) {
        let offset = word(&bytes, at)?.checked_sub(minus)?.checked_add(plus)?;
        let field = bytes.get_mut(at..at + 4)?;
        field.copy_from_slice(&u32::try_from(offset).ok().filter(|&offset| offset != u32::MAX)?.to_le_bytes());
    }
    Some(bytes.into())
}

/// The directory of a file, as seen from `start` on.
fn directory_of_part(directory: &Directory, start: usize) -> Option<Directory> {
    Some(Directory {
        end: directory.end.checked_sub(start)?,
        fields: directory.fields.iter().map(|at| at.checked_sub(start)).collect::<Option<_>>()?,
        shift: 0,
        first_content: 0,
    })
}

fn directory(file: &[u8]) -> Option<Directory> {
    // A comment of up to 64 kB may follow the end record; its length has to lead to the end of the file.
    let earliest = file.len().saturating_sub(END_LEN + usize::from(u16::MAX));
    let is_end = |&at: &usize| {
        file[at..].starts_with(END) && half(file, at + 20).is_some_and(|comment| at + END_LEN + comment == file.len())
    };
    let end = (earliest..file.len().checked_sub(END_LEN - 1)?).rev().find(is_end)?;
    let (count, size, offset) = (half(file, end + 10)?, word(file, end + 12)?, word(file, end + 16)?);
    let entries = end.checked_sub(size)?;
    let shift = entries.checked_sub(offset)?;
    let (mut fields, mut first_content, mut at) = (Vec::new(), usize::MAX, entries);
    for _ in 0..count {
        if !file.get(at..)?.starts_with(ENTRY) {
            return None;
        }
        let content = word(file, at + 42)?.checked_add(shift)?;
        if !file.get(content..)?.starts_with(CONTENT) {
            return None;
        }
        fields.push(at + 42);
        first_content = first_content.min(content);
        at += ENTRY_LEN + half(file, at + 28)? + half(file, at + 30)? + half(file, at + 32)?;
    }
    (at == end && first_content < entries).then_some(Directory { end, fields, shift, first_content })
}

fn half(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?)))
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive of one empty file, its offsets counted from `shift` bytes before it.
    fn archive(shift: u32) -> Vec<u8> {
        let mut bytes = [CONTENT, &[0; 26]].concat();
        let entries = bytes.len() as u32;
        bytes.extend([ENTRY, &[0; 38], &shift.to_le_bytes()[..]].concat());
        bytes.extend(
            [END, &[0; 4], &[1, 0, 1, 0], &46u32.to_le_bytes(), &(entries + shift).to_le_bytes(), &[0; 2]].concat(),
        );
        bytes
    }

    #[test]
    fn an_archive_is_found_and_can_be_placed_elsewhere() {
        let file = Bytes::from([&[7; 100][..], &archive(100)].concat());
        let found = find(&file).unwrap();
        assert_eq!(found[..], archive(0));
        assert_eq!(placed(&found, 31).unwrap()[..], archive(31));
        // Some writers count from the start of the archive.
        let file = Bytes::from([&[7; 100][..], &archive(0)].concat());
        assert_eq!(find(&file).unwrap(), found);
    }

    #[test]
    fn what_is_no_archive_is_left_alone() {
        let whole = [&[7; 100][..], &archive(100)].concat();
        for len in 0..whole.len() {
            assert_eq!(find(&Bytes::copy_from_slice(&whole[..len])), None);
        }
        assert_eq!(find(&Bytes::from([&[7; 100][..], &archive(101)].concat())), None);
        assert_eq!(placed(&Bytes::from(archive(0)), u64::from(u32::MAX)), None, "past what its offsets reach");
    }
}
