//! Names that a mistyped one may stand for.

/// `; did you mean "a", "b"?`, or nothing where no name is like `name`.
pub fn listed<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> String {
    const MOST: usize = 3;
    let lower = name.to_lowercase();
    let score = |other: &'a str| {
        let other_lower = other.to_lowercase();
        let part = !lower.is_empty() && (other_lower.contains(&lower) || lower.contains(&other_lower));
        let edits = edits(&lower, &other_lower, 1 + lower.chars().count() / 3);
        let score = edits.or(part.then_some(usize::MAX))?;
        Some((score, other))
    };
    let mut near: Vec<(usize, &str)> = names.filter(|n| !n.is_empty()).filter_map(score).collect();
    near.sort_unstable();
    near.dedup();
    let near: Vec<String> = near.iter().take(MOST).map(|(_, n)| format!("{n:?}")).collect();
    if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(", ")) }
}

/// The number of single letters to insert, remove or change, where it is at most `most`.
fn edits(a: &str, b: &str, most: usize) -> Option<usize> {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > most {
        return None;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row.last().copied().filter(|&n| n <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_names_come_first() {
        let names = ["/conv/Conv_output_0", "/conv/Conv_output_1", "logits", "image"];
        let near = |name| listed(name, names.into_iter());
        assert_eq!(near("logit"), "; did you mean \"logits\"?");
        assert_eq!(near("/conv/conv_output_1"), "; did you mean \"/conv/Conv_output_1\", \"/conv/Conv_output_0\"?");
        assert_eq!(near("conv"), "; did you mean \"/conv/Conv_output_0\", \"/conv/Conv_output_1\"?");
        assert_eq!(near("zzz"), "");
    }

    #[test]
    fn edits_are_counted() {
        assert_eq!(edits("kitten", "sitting", 3), Some(3));
        assert_eq!(edits("kitten", "sitting", 2), None);
        assert_eq!(edits("", "ab", 5), Some(2));
    }
}
