//! The enums that graph and file have in common, as tables.

use crate::graph::{Activation, MirrorMode, Op, Padding};
use crate::schema::{self, ActivationFunctionType as Fused, BuiltinOperator, MirrorPadMode, TensorType};
use crate::tensor::DType;

/// Every element type, in the order of the schema.
const DTYPES: [DType; 23] = [
    DType::F32,
    DType::F16,
    DType::I32,
    DType::U8,
    DType::I64,
    DType::String,
    DType::Bool,
    DType::I16,
    DType::C64,
    DType::I8,
    DType::F64,
    DType::C128,
    DType::U64,
    DType::Resource,
    DType::Variant,
    DType::U32,
    DType::U16,
    DType::I4,
    DType::BF16,
    DType::I2,
    DType::U4,
    DType::F8E4M3FN,
    DType::F8E5M2,
];

pub(super) fn tensor_type(dtype: DType) -> TensorType {
    match dtype {
        DType::F32 => TensorType::FLOAT32,
        DType::F16 => TensorType::FLOAT16,
        DType::BF16 => TensorType::BFLOAT16,
        DType::F64 => TensorType::FLOAT64,
        DType::I2 => TensorType::INT2,
        DType::I4 => TensorType::INT4,
        DType::I8 => TensorType::INT8,
        DType::I16 => TensorType::INT16,
        DType::I32 => TensorType::INT32,
        DType::I64 => TensorType::INT64,
        DType::U4 => TensorType::UINT4,
        DType::U8 => TensorType::UINT8,
        DType::U16 => TensorType::UINT16,
        DType::U32 => TensorType::UINT32,
        DType::U64 => TensorType::UINT64,
        DType::Bool => TensorType::BOOL,
        DType::C64 => TensorType::COMPLEX64,
        DType::C128 => TensorType::COMPLEX128,
        DType::F8E4M3FN => TensorType::FLOAT8_E4M3FN,
        DType::F8E5M2 => TensorType::FLOAT8_E5M2,
        DType::String => TensorType::STRING,
        DType::Resource => TensorType::RESOURCE,
        DType::Variant => TensorType::VARIANT,
    }
}

/// `None` for types that this program's schema does not know.
pub(super) fn dtype(ty: TensorType) -> Option<DType> {
    usize::try_from(ty.0).ok().and_then(|i| DTYPES.get(i)).copied()
}

pub(super) fn fused(activation: Activation) -> Fused {
    match activation {
        Activation::None => Fused::NONE,
        Activation::Relu => Fused::RELU,
        Activation::ReluN1To1 => Fused::RELU_N1_TO_1,
        Activation::Relu6 => Fused::RELU6,
        Activation::Tanh => Fused::TANH,
        Activation::SignBit => Fused::SIGN_BIT,
    }
}

pub(super) fn activation(fused: Fused) -> Option<Activation> {
    Some(match fused {
        Fused::NONE => Activation::None,
        Fused::RELU => Activation::Relu,
        Fused::RELU_N1_TO_1 => Activation::ReluN1To1,
        Fused::RELU6 => Activation::Relu6,
        Fused::TANH => Activation::Tanh,
        Fused::SIGN_BIT => Activation::SignBit,
        _ => return None,
    })
}

pub(super) fn schema_padding(padding: Padding) -> schema::Padding {
    match padding {
        Padding::Same => schema::Padding::SAME,
        Padding::Valid => schema::Padding::VALID,
    }
}

pub(super) fn padding(padding: schema::Padding) -> Option<Padding> {
    Some(match padding {
        schema::Padding::SAME => Padding::Same,
        schema::Padding::VALID => Padding::Valid,
        _ => return None,
    })
}

pub(super) fn mirror_pad_mode(mode: MirrorMode) -> MirrorPadMode {
    match mode {
        MirrorMode::Reflect => MirrorPadMode::REFLECT,
        MirrorMode::Symmetric => MirrorPadMode::SYMMETRIC,
    }
}

pub(super) fn mirror_mode(mode: MirrorPadMode) -> Option<MirrorMode> {
    Some(match mode {
        MirrorPadMode::REFLECT => MirrorMode::Reflect,
        MirrorPadMode::SYMMETRIC => MirrorMode::Symmetric,
        _ => return None,
    })
}

/// The builtin that `op` is written as.
pub(super) fn builtin(op: &Op) -> BuiltinOperator {
    match op {
        Op::Opaque(opaque) => opaque.code,
        op => BuiltinOperator::from_name(op.name()).expect("operators are named as the schema names them"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn element_types_map_both_ways() {
        for (ty, _) in TensorType::MEMBERS {
            let dtype = dtype(*ty).expect("every type of the schema is known");
            assert_eq!(tensor_type(dtype), *ty);
        }
        assert_eq!(dtype(TensorType(23)), None);
        assert_eq!(dtype(TensorType(-1)), None);
    }
}
