//! Reads the equation of an `Einsum`. Knows nothing of graphs.

use crate::lower::Refusal;

/// What an axis stands for: axes of one label have one extent, or 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Label {
    /// An axis that an ellipsis stands for, counted from the last of them, which is 0.
    Ellipsis(usize),
    Letter(char),
}

/// Labels of the axes of each operand, and of the result.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Equation {
    pub operands: Vec<Vec<Label>>,
    pub result: Vec<Label>,
}

impl Equation {
    /// Reads `text` for operands of the given ranks.
    pub fn read(text: &str, ranks: &[usize]) -> Result<Equation, Refusal> {
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let (left, right) = match text.split_once("->") {
            Some((left, right)) => (left, Some(right)),
            None => (text.as_str(), None),
        };
        let terms: Vec<Term> = left.split(',').map(Term::read).collect::<Result<_, _>>()?;
        if terms.len() != ranks.len() {
            return Err(bad(format!("{left:?} names {} operands, and there are {}", terms.len(), ranks.len())));
        }
        let operands: Vec<Vec<Label>> =
            terms.iter().zip(ranks).map(|(term, &rank)| term.labels(rank)).collect::<Result<_, _>>()?;
        let most = operands.iter().flatten().filter(|label| matches!(label, Label::Ellipsis(_))).max();
        let ellipsis = most.map_or(0, |label| if let Label::Ellipsis(i) = label { i + 1 } else { 0 });
        let result = match right {
            Some(right) => {
                let term = Term::read(right)?;
                term.labels(term.letters() + if term.after.is_some() { ellipsis } else { 0 })?
            }
            None => implicit(&operands, ellipsis),
        };
        for (i, label) in result.iter().enumerate() {
            if result[..i].contains(label) || !operands.iter().flatten().any(|l| l == label) {
                return Err(bad(format!("{text:?} repeats an index of the result, or takes it from nowhere")));
            }
        }
        Ok(Equation { operands, result })
    }
}

fn bad(what: String) -> Refusal {
    Refusal::new(what, "check the model with onnx.checker and shape inference").about("attribute equation")
}

/// Without an arrow, the result has the axes of the ellipsis, then the letters that stand once, in the order of the alphabet.
fn implicit(operands: &[Vec<Label>], ellipsis: usize) -> Vec<Label> {
    let count = |label: &Label| operands.iter().flatten().filter(|l| *l == label).count();
    let is_letter = |label: &&Label| matches!(label, Label::Letter(_));
    let mut once: Vec<Label> = operands.iter().flatten().filter(is_letter).filter(|l| count(l) == 1).copied().collect();
    once.sort_unstable();
    (0..ellipsis).rev().map(Label::Ellipsis).chain(once).collect()
}

/// Letters before the ellipsis, and those after it, where there is one.
struct Term {
    before: Vec<char>,
    after: Option<Vec<char>>,
}

impl Term {
    fn read(text: &str) -> Result<Term, Refusal> {
        let letters = |part: &str| match part.chars().find(|c| !c.is_ascii_alphabetic()) {
            Some(c) => Err(bad(format!("{c:?} is no index"))),
            None => Ok(part.chars().collect::<Vec<char>>()),
        };
        Ok(match text.split_once("...") {
            Some((before, after)) => Term { before: letters(before)?, after: Some(letters(after)?) },
            None => Term { before: letters(text)?, after: None },
        })
    }

    fn letters(&self) -> usize {
        self.before.len() + self.after.as_ref().map_or(0, Vec::len)
    }

    /// One label for each axis of an operand.
    fn labels(&self, rank: usize) -> Result<Vec<Label>, Refusal> {
        let ellipsis = rank.checked_sub(self.letters()).filter(|&n| n == 0 || self.after.is_some());
        let ellipsis = ellipsis.ok_or_else(|| bad(format!("{} indices for {rank} axes", self.letters())))?;
        let before = self.before.iter().copied().map(Label::Letter);
        let after = self.after.iter().flatten().copied().map(Label::Letter);
        Ok(before.chain((0..ellipsis).rev().map(Label::Ellipsis)).chain(after).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters(text: &str) -> Vec<Label> {
        text.chars().map(Label::Letter).collect()
    }

    #[test]
    fn reads_every_form() {
        let explicit = Equation::read(" bij, bjk -> bik ", &[3, 3]).unwrap();
        assert_eq!(explicit.operands, [letters("bij"), letters("bjk")]);
        assert_eq!(explicit.result, letters("bik"));
        assert_eq!(Equation::read("ba", &[2]).unwrap().result, letters("ab"));
        assert_eq!(Equation::read("ij,jk", &[2, 2]).unwrap().result, letters("ik"));
        assert_eq!(Equation::read("ii", &[2]).unwrap().result, []);
        assert_eq!(Equation::read("", &[0]).unwrap().result, []);
        assert_eq!(Equation::read(",i->i", &[0, 1]).unwrap().operands[0], []);
        let broadcast = Equation::read("...ij,jk...", &[3, 4]).unwrap();
        assert_eq!(broadcast.operands[0][0], Label::Ellipsis(0));
        assert_eq!(broadcast.operands[1][2..], [Label::Ellipsis(1), Label::Ellipsis(0)]);
        let result = [&[Label::Ellipsis(1), Label::Ellipsis(0)], letters("ik").as_slice()].concat();
        assert_eq!(broadcast.result, result);
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        for (text, ranks) in
            [("ij", vec![3]), ("ij,j", vec![2]), ("i->ii", vec![1]), ("i->j", vec![1]), ("i1", vec![2])]
        {
            assert!(Equation::read(text, &ranks).is_err(), "{text}");
        }
        assert!(Equation::read("i...i...", &[4]).is_err());
    }
}
