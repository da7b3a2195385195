//! THE TABLE of the first runtime release that knows a version of an operator.

use super::Runtime;
use crate::graph::Node;
use crate::schema::BuiltinOperator as B;

/// For each builtin, in the order of codes, the releases that brought version 1, 2, …
const FIRST: &[(B, &str)] = &[
    (B::ADD, "1.5.0 1.14.0 2.4.0 2.6.0 2.13.0 2.23.0"),
    (B::AVERAGE_POOL_2D, "1.5.0 1.14.0 2.3.0"),
    (B::CONCATENATION, "1.5.0 1.14.0 2.3.0 2.14.0 2.21.0 2.23.0 2.23.0"),
    (B::CONV_2D, "1.5.0 1.14.0 1.14.0 2.3.0 2.4.0 2.9.0 2.11.0 2.15.0"),
    (B::DEPTHWISE_CONV_2D, "1.5.0 1.12.0 1.14.0 2.2.0 2.3.0 2.3.0 2.11.0"),
    (B::DEPTH_TO_SPACE, "2.1.0 2.5.0"),
    (B::DEQUANTIZE, "1.13.1 1.14.0 1.15.0 2.2.0 2.7.0 2.18.0 2.21.0 2.22.0 2.23.0"),
    (B::EMBEDDING_LOOKUP, "1.13.0 1.14.0 1.14.0 2.18.0 2.21.0"),
    (B::FLOOR, "1.9.0"),
    (B::FULLY_CONNECTED, "1.5.0 1.10.0 1.14.0 1.14.0 2.0.0 2.1.0 2.3.0 2.3.0 2.3.0 2.11.0 2.15.0 2.17.0 2.18.0 2.21.0"),
    (B::HASHTABLE_LOOKUP, "1.5.0"),
    (B::L2_NORMALIZATION, "1.5.0 1.14.0"),
    (B::L2_POOL_2D, "1.5.0"),
    (B::LOCAL_RESPONSE_NORMALIZATION, "1.5.0"),
    (B::LOGISTIC, "1.14.0 1.14.0 2.3.0"),
    (B::LSH_PROJECTION, "1.5.0"),
    (B::LSTM, "1.7.0 1.10.0 1.14.0 2.3.0"),
    (B::MAX_POOL_2D, "1.5.0 1.14.0 2.3.0"),
    (B::MUL, "1.5.0 1.14.0 1.15.0 2.3.0 2.6.0 2.11.0 2.13.0 2.23.0"),
    (B::RELU, "1.5.0 2.1.0 2.5.0"),
    (B::RELU_N1_TO_1, "1.5.0"),
    (B::RELU6, "1.5.0 1.14.0 2.5.0"),
    (B::RESHAPE, "1.5.0"),
    (B::RESIZE_BILINEAR, "1.7.0 1.14.0 2.2.0 2.5.0"),
    (B::RNN, "1.5.0 1.14.0 2.3.0"),
    (B::SOFTMAX, "1.5.0 1.14.0 2.3.0 2.23.0"),
    (B::SPACE_TO_DEPTH, "1.5.0 1.14.0"),
    (B::SVDF, "1.5.0 1.14.0 2.2.0 2.3.0"),
    (B::TANH, "1.14.0 1.14.0 2.3.0"),
    (B::SKIP_GRAM, "1.5.0"),
    (B::EMBEDDING_LOOKUP_SPARSE, "1.5.0"),
    (B::PAD, "1.5.0 1.14.0 2.4.0 2.6.0 2.20.0 2.23.0"),
    (B::UNIDIRECTIONAL_SEQUENCE_RNN, "1.14.0 1.14.0 2.3.0"),
    (B::GATHER, "1.6.0 1.14.0 1.15.0 2.4.0 2.5.0 2.13.0 2.15.0 2.23.0"),
    (B::BATCH_TO_SPACE_ND, "1.6.0 1.14.0 2.3.0 2.12.0"),
    (B::SPACE_TO_BATCH_ND, "1.6.0 1.14.0 2.3.0 2.12.0"),
    (B::TRANSPOSE, "1.6.0 1.14.0 1.15.0 2.3.0 2.4.0 2.12.0 2.14.4 2.22.0 2.23.0"),
    (B::MEAN, "1.6.0 1.14.0 2.4.0"),
    (B::SUB, "1.6.0 1.14.0 2.3.0 2.4.0 2.4.0"),
    (B::DIV, "1.6.0 2.3.0"),
    (B::SQUEEZE, "1.6.0 2.5.0"),
    (B::UNIDIRECTIONAL_SEQUENCE_LSTM, "1.13.1 1.14.0 2.3.0 2.12.0"),
    (B::STRIDED_SLICE, "1.6.0 1.14.0 2.1.0 2.2.0 2.5.0 2.6.0 2.14.0 2.14.0"),
    (B::BIDIRECTIONAL_SEQUENCE_RNN, "1.14.0 1.14.0 2.3.0"),
    (B::EXP, "1.7.0 2.12.0"),
    (B::TOPK_V2, "1.7.0 1.14.0 2.13.0"),
    (B::SPLIT, "1.5.0 1.14.0 1.14.0 2.3.0 2.23.0"),
    (B::LOG_SOFTMAX, "1.14.0 1.14.0"),
    (B::BIDIRECTIONAL_SEQUENCE_LSTM, "1.14.0 1.14.0 1.14.0"),
    (B::CAST, "1.5.0 2.7.0 2.8.0 2.9.0 2.12.0 2.15.0 2.17.0 2.21.0 2.23.0"),
    (B::PRELU, "1.8.0"),
    (B::MAXIMUM, "1.14.0 1.14.0 2.3.0 2.3.0"),
    (B::ARG_MAX, "1.9.0 1.14.0 2.9.0"),
    (B::MINIMUM, "1.14.0 1.14.0 2.3.0 2.3.0"),
    (B::LESS, "1.14.0 1.14.0 2.13.0"),
    (B::NEG, "1.9.0"),
    (B::PADV2, "1.9.0 1.14.0 2.4.0 2.6.0 2.20.0 2.23.0"),
    (B::GREATER, "1.14.0 1.14.0"),
    (B::GREATER_EQUAL, "1.14.0 1.14.0 2.13.0"),
    (B::LESS_EQUAL, "1.14.0 1.14.0"),
    (B::SELECT, "1.14.0 1.14.0 2.12.0 2.12.0"),
    (B::SLICE, "1.14.0 1.14.0 1.14.0 2.4.0 2.5.0 2.14.0 2.21.0 2.23.0"),
    (B::SIN, "1.9.0 2.23.0"),
    (B::TRANSPOSE_CONV, "1.9.0 2.2.0 2.3.0 2.13.0 2.15.0"),
    (B::SPARSE_TO_DENSE, "1.9.0 1.14.0 1.15.0"),
    (B::TILE, "1.10.1 2.2.0 2.8.0"),
    (B::EXPAND_DIMS, "1.10.0"),
    (B::EQUAL, "1.14.0 1.14.0 2.3.0 2.13.0 2.21.0"),
    (B::NOT_EQUAL, "1.14.0 1.14.0 2.3.0 2.21.0"),
    (B::LOG, "1.14.0 2.15.0"),
    (B::SUM, "1.10.0 1.15.0"),
    (B::SQRT, "1.10.0 2.21.0"),
    (B::RSQRT, "1.10.0 2.5.0 2.15.0"),
    (B::SHAPE, "1.10.0"),
    (B::POW, "1.10.0"),
    (B::ARG_MIN, "1.9.0 1.14.0 2.9.0"),
    (B::FAKE_QUANT, "1.5.0 1.10.0"),
    (B::REDUCE_PROD, "1.11.0 2.6.0"),
    (B::REDUCE_MAX, "1.11.0 1.14.0 2.5.0"),
    (B::PACK, "1.11.0 1.14.0 2.3.0 2.13.0 2.23.0"),
    (B::LOGICAL_OR, "1.11.0"),
    (B::ONE_HOT, "1.11.0"),
    (B::LOGICAL_AND, "1.11.0"),
    (B::LOGICAL_NOT, "1.11.0"),
    (B::UNPACK, "1.11.0 1.14.0 2.2.0 2.3.0 2.22.0 2.23.0"),
    (B::REDUCE_MIN, "1.11.0 1.14.0 2.5.0"),
    (B::FLOOR_DIV, "1.14.0 1.14.0 2.13.0"),
    (B::REDUCE_ANY, "1.11.0"),
    (B::SQUARE, "1.12.0"),
    (B::ZEROS_LIKE, "1.12.0"),
    (B::FILL, "1.13.0 2.3.0 2.5.0 2.12.0 2.23.0"),
    (B::FLOOR_MOD, "1.13.0 2.13.0"),
    (B::RANGE, "1.13.0 2.14.0"),
    (B::RESIZE_NEAREST_NEIGHBOR, "1.13.1 1.14.0 2.3.0 2.4.0"),
    (B::LEAKY_RELU, "1.13.1 2.3.0"),
    (B::SQUARED_DIFFERENCE, "1.13.1 2.5.0"),
    (B::MIRROR_PAD, "1.13.1 2.3.0 2.12.0"),
    (B::ABS, "1.13.0 2.4.0 2.5.0 2.6.0 2.12.0"),
    (B::SPLIT_V, "1.13.1 2.3.0 2.23.0"),
    (B::UNIQUE, "1.14.0"),
    (B::CEIL, "1.14.0"),
    (B::REVERSE_V2, "1.14.0 2.2.0 2.5.0 2.23.0"),
    (B::ADD_N, "1.14.0"),
    (B::GATHER_ND, "1.14.0 2.3.0 2.5.0 2.13.0 2.16.0 2.23.0"),
    (B::COS, "1.14.0 2.23.0"),
    (B::WHERE, "1.14.0 2.8.0"),
    (B::RANK, "1.14.0"),
    (B::ELU, "1.14.0"),
    (B::REVERSE_SEQUENCE, "1.14.0"),
    (B::MATRIX_DIAG, "1.14.0"),
    (B::QUANTIZE, "1.14.0 1.15.0 2.7.0 2.21.0 2.21.0 2.21.0"),
    (B::MATRIX_SET_DIAG, "1.14.0"),
    (B::ROUND, "1.14.0"),
    (B::HARD_SWISH, "1.15.0"),
    (B::IF, "1.15.0"),
    (B::WHILE, "1.15.0"),
    (B::NON_MAX_SUPPRESSION_V4, "2.1.0"),
    (B::NON_MAX_SUPPRESSION_V5, "2.1.0"),
    (B::SCATTER_ND, "2.1.0"),
    (B::SELECT_V2, "2.2.0 2.12.0"),
    (B::DENSIFY, "2.2.0"),
    (B::SEGMENT_SUM, "2.2.0"),
    (B::BATCH_MATMUL, "2.3.0 2.3.0 2.4.0 2.5.0"),
    (B::CUMSUM, "2.4.0"),
    (B::CALL_ONCE, "2.5.0"),
    (B::BROADCAST_TO, "2.5.0 2.5.0 2.5.0 2.23.0"),
    (B::RFFT2D, "2.5.0"),
    (B::CONV_3D, "2.5.0"),
    (B::IMAG, "2.5.0"),
    (B::REAL, "2.5.0"),
    (B::COMPLEX_ABS, "2.5.0"),
    (B::HASHTABLE, "2.5.0"),
    (B::HASHTABLE_FIND, "2.5.0"),
    (B::HASHTABLE_IMPORT, "2.5.0"),
    (B::HASHTABLE_SIZE, "2.5.0"),
    (B::REDUCE_ALL, "2.6.0"),
    (B::CONV_3D_TRANSPOSE, "2.6.0"),
    (B::VAR_HANDLE, "2.6.0"),
    (B::READ_VARIABLE, "2.6.0"),
    (B::ASSIGN_VARIABLE, "2.6.0"),
    (B::BROADCAST_ARGS, "2.6.0"),
    (B::RANDOM_STANDARD_NORMAL, "2.8.0"),
    (B::BUCKETIZE, "2.8.0"),
    (B::RANDOM_UNIFORM, "2.8.0"),
    (B::MULTINOMIAL, "2.8.0"),
    (B::GELU, "2.9.0 2.9.0 2.23.0"),
    (B::DYNAMIC_UPDATE_SLICE, "2.9.0 2.17.0 2.19.0 2.20.0 2.21.0 2.22.0"),
    (B::RELU_0_TO_1, "2.10.0"),
    (B::UNSORTED_SEGMENT_PROD, "2.10.0"),
    (B::UNSORTED_SEGMENT_MAX, "2.10.0"),
    (B::UNSORTED_SEGMENT_SUM, "2.10.0"),
    (B::ATAN2, "2.10.0"),
    (B::UNSORTED_SEGMENT_MIN, "2.11.0"),
    (B::SIGN, "2.11.0 2.12.0"),
    (B::BITCAST, "2.13.0"),
    (B::BITWISE_XOR, "2.13.0"),
    (B::RIGHT_SHIFT, "2.13.0"),
    (B::STABLEHLO_ADD, "2.16.0"),
    (B::STABLEHLO_MULTIPLY, "2.16.0"),
    (B::STABLEHLO_MAXIMUM, "2.16.0"),
    (B::STABLEHLO_AND, "2.17.0"),
    (B::STABLEHLO_MINIMUM, "2.16.0"),
    (B::STABLEHLO_SCATTER, "2.15.0"),
    (B::STABLEHLO_PAD, "2.16.0"),
    (B::STABLEHLO_REDUCE_WINDOW, "2.16.0"),
    (B::STABLEHLO_GATHER, "2.16.0"),
    (B::DILATE, "2.15.0"),
    (B::STABLEHLO_RNG_BIT_GENERATOR, "2.15.0"),
    (B::REDUCE_WINDOW, "2.15.0"),
    (B::STABLEHLO_COMPOSITE, "2.17.0"),
    (B::STABLEHLO_SHIFT_LEFT, "2.17.0"),
    (B::STABLEHLO_CASE, "2.17.0"),
];

/// The first release that runs version `version` of `builtin`; `None` where no release is known that does.
pub(super) fn first(builtin: B, version: i32) -> Option<Runtime> {
    let row = FIRST.binary_search_by_key(&builtin, |row| row.0).ok()?;
    let index = usize::try_from(version).ok()?.checked_sub(1)?;
    Runtime::parse(FIRST.get(row)?.1.split(' ').nth(index)?)
}

/// Whether some release runs `node` at that version of its operator.
pub fn is_released(node: &Node, version: i32) -> bool {
    first(super::codes::builtin(&node.op), version).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_order_of_codes_and_releases_never_go_back() {
        assert!(FIRST.is_sorted_by_key(|row| row.0));
        for (builtin, releases) in FIRST {
            let releases: Vec<_> = releases.split(' ').map(|release| Runtime::parse(release).unwrap()).collect();
            assert!(releases.is_sorted(), "{builtin}");
        }
    }

    #[test]
    fn unknown_versions_have_no_release() {
        assert_eq!(first(B::CONV_2D, 3), Runtime::parse("1.14.0"));
        for version in [i32::MIN, 0, 9, i32::MAX] {
            assert_eq!(first(B::CONV_2D, version), None);
        }
        assert_eq!(first(B::CALL, 1), None, "registered by no runtime");
    }
}
