//! Operators that the user wants as custom ones: kernels of the user's own run them.

mod flexbuffer;

use flexbuffer::Value;

use super::{Cx, Refusal, Results};
use crate::graph::{Opaque, Shape, Type};
use crate::onnx::{self, Attribute};

/// Writes a node as the custom operator `code`: operands, results and attributes as they are.
///
/// The attributes are a map in `custom_options`: numbers, strings and lists of them under their names; a tensor as a map of
/// `type` (`float32`), `shape` and `data`, its bytes. Absent operands at the end are left out, absent results take no place.
pub(super) fn custom(cx: &mut Cx<'_>, node: &onnx::Node, code: &str, declared: &[onnx::ValueInfo]) -> Results {
    let mut entries = Vec::with_capacity(node.attributes.len());
    for (name, attribute) in &node.attributes {
        let value = option(attribute).map_err(|refusal| refusal.about(format!("attribute {name}")))?;
        entries.push((name.clone(), value));
        cx.ignore(&[name]);
    }
    let inputs: Vec<_> = (0..cx.input_count()).map(|i| cx.optional(i)).collect();
    if let Some(i) = (0..cx.output_count()).find(|&i| !cx.wants_output(i)) {
        return Err(
            Refusal::new("custom operators have no absent results", "give it a name").about(format!("result {i}"))
        );
    }
    let types = declared.iter().map(result_type).collect::<Result<Vec<_>, _>>()?;
    cx.note(format!("is the custom operator {code:?}: the runtime needs a kernel for it"));
    let opaque = Opaque::custom(code, flexbuffer::of_map(entries));
    Ok(cx.b.opaque(opaque, inputs, types))
}

fn option(attribute: &Attribute) -> Result<Value, Refusal> {
    Ok(match attribute {
        Attribute::Float(f) => Value::Float(f64::from(*f)),
        Attribute::Int(i) => Value::Int(*i),
        Attribute::String(s) => Value::Text(s.clone()),
        Attribute::Floats(v) => Value::Floats(v.iter().map(|&f| f64::from(f)).collect()),
        Attribute::Ints(v) => Value::Ints(v.clone()),
        Attribute::Strings(v) => Value::Texts(v.clone()),
        Attribute::Tensor(t) => Value::Map(vec![
            ("type".into(), Value::Text(t.dtype().name().into())),
            ("shape".into(), Value::Ints(t.shape().iter().map(|&d| d as i64).collect())),
            ("data".into(), Value::Blob(t.bytes().to_vec())),
        ]),
        Attribute::Graph(_) | Attribute::Graphs(_) | Attribute::Reference(_) | Attribute::Other(_) => {
            let what = format!("custom options can't hold {}", attribute.kind());
            return Err(Refusal::new(what, "export the operator without it"));
        }
    })
}

/// The type that the model declares of a result.
fn result_type(declared: &onnx::ValueInfo) -> Result<Type, Refusal> {
    let fixed = |d: &onnx::Dim| if let onnx::Dim::Fixed(n) = d { Some(*n) } else { None };
    match (declared.dtype, &declared.shape) {
        (Some(dtype), Some(dims)) => Ok(Type::new(dtype, Shape(dims.iter().map(fixed).collect()))),
        (dtype, _) => Err(Refusal::new(
            format!(
                "the model does not say the {} of result {:?} of a custom operator",
                if dtype.is_none() { "element type" } else { "shape" },
                declared.name
            ),
            "declare it: add onnx.helper.make_tensor_value_info(name, type, shape) to graph.value_info",
        )),
    }
}
