//! Operators of object detection.

use super::super::KernelError;
use super::checked_len;
use crate::tensor::{DType, Tensor};

/// The smallest and largest coordinates of a box, of which any two opposite corners are given.
fn sides(corners: &[f32]) -> [f32; 4] {
    let &[y1, x1, y2, x2] = corners else { return [0.0; 4] };
    [y1.min(y2), x1.min(x2), y1.max(y2), x1.max(x2)]
}

/// Area in common as a part of the area of both; 0 for a box without area.
fn overlap(a: &[f32], b: &[f32]) -> f32 {
    let (a, b) = (sides(a), sides(b));
    let area = |s: [f32; 4]| (s[2] - s[0]) * (s[3] - s[1]);
    if area(a) <= 0.0 || area(b) <= 0.0 {
        return 0.0;
    }
    let height = (a[2].min(b[2]) - a[0].max(b[0])).max(0.0);
    let width = (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
    let common = height * width;
    common / (area(a) + area(b) - common)
}

/// Indices of boxes by falling score, without those that overlap one before by the first threshold or more, or whose score is not
/// above the second; zeros up to `most`. And how many there are.
pub(in crate::exec) fn non_max_suppression(
    boxes: &Tensor,
    scores: &Tensor,
    most: i64,
    thresholds: [&Tensor; 2],
) -> Result<Vec<Tensor>, KernelError> {
    let misfit = || KernelError::operands(format!("boxes of {:?}, scores of {:?}", boxes.shape(), scores.shape()));
    let most = usize::try_from(most).map_err(|_| KernelError::operands(format!("at most {most} boxes")))?;
    checked_len(DType::I32, &[most])?;
    if boxes.shape() != [scores.len(), 4] || thresholds.iter().any(|t| t.is_empty()) {
        return Err(misfit());
    }
    let (boxes, scores) = (boxes.to_f32s()?, scores.to_f32s()?);
    let (overlapping, lowest) = (thresholds[0].to_f32s()?[0], thresholds[1].to_f32s()?[0]);
    let corners = |i: usize| &boxes[4 * i..4 * i + 4];
    let mut order: Vec<usize> = (0..scores.len()).filter(|&i| scores[i] > lowest).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let mut chosen: Vec<usize> = Vec::new();
    for i in order {
        if chosen.len() >= most {
            break;
        }
        if chosen.iter().all(|&c| overlap(corners(i), corners(c)) < overlapping) {
            chosen.push(i);
        }
    }
    let count = Tensor::scalar(chosen.len() as i32);
    let mut indices: Vec<i32> = chosen.into_iter().map(|i| i as i32).collect();
    indices.resize(most, 0);
    Ok(vec![Tensor::vector(indices), count])
}
