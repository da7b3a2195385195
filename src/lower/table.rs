//! THE TABLE: every ONNX operator that is accepted, and the function that lowers it.

use super::{
    Cx, Results, batch_normalization, cast, concat, constant, conv, conv_transpose, depth_to_space, elementwise,
    expand, gather, identity, logic, matmul, pad, pool, reshape, resize, shape, slice, split, transpose,
};

/// One accepted operator.
pub struct Row {
    /// Empty for the standard operators.
    pub domain: &'static str,
    pub op: &'static str,
    pub(super) lower: fn(&mut Cx<'_>) -> Results,
}

const fn std(op: &'static str, lower: fn(&mut Cx<'_>) -> Results) -> Row {
    Row { domain: "", op, lower }
}

/// Sorted by domain and name.
#[rustfmt::skip]
pub const TABLE: &[Row] = &[
    std("And", logic::and),
    std("AveragePool", pool::average_pool),
    std("BatchNormalization", batch_normalization::batch_normalization),
    std("Cast", cast::cast),
    std("CastLike", cast::cast_like),
    std("Concat", concat::concat),
    std("Constant", constant::constant),
    std("ConstantOfShape", constant::constant_of_shape),
    std("Conv", conv::conv),
    std("ConvTranspose", conv_transpose::conv_transpose),
    std("DepthToSpace", depth_to_space::depth_to_space),
    std("Dropout", identity::dropout),
    std("Equal", logic::equal),
    std("Expand", expand::expand),
    std("EyeLike", constant::eye_like),
    std("Flatten", reshape::flatten),
    std("Gather", gather::gather),
    std("GatherElements", gather::gather_elements),
    std("GatherND", gather::gather_nd),
    std("Gemm", matmul::gemm),
    std("Greater", logic::greater),
    std("GreaterOrEqual", logic::greater_or_equal),
    std("Identity", identity::identity),
    std("Less", logic::less),
    std("LessOrEqual", logic::less_or_equal),
    std("MatMul", matmul::mat_mul),
    std("MaxPool", pool::max_pool),
    std("Not", logic::not),
    std("Or", logic::or),
    std("Pad", pad::pad),
    std("Range", constant::range),
    std("Relu", elementwise::relu),
    std("Reshape", reshape::reshape),
    std("Resize", resize::resize),
    std("Shape", shape::shape),
    std("Size", shape::size),
    std("Slice", slice::slice),
    std("SpaceToDepth", depth_to_space::space_to_depth),
    std("Split", split::split),
    std("Squeeze", reshape::squeeze),
    std("Tile", expand::tile),
    std("Transpose", transpose::transpose),
    std("Unsqueeze", reshape::unsqueeze),
    std("Upsample", resize::upsample),
    std("Where", logic::where_),
    std("Xor", logic::xor),
];
