//! Fixed extents for dynamic inputs.

use std::collections::BTreeMap;

use super::{Dim, Model, near};

impl Model {
    /// Gives inputs fixed extents. Extents of other inputs that have the name of one of those become the same.
    ///
    /// # Errors
    /// A sentence, where there is no such input or the extents contradict what it declares.
    pub fn pin_shapes(&mut self, shapes: &BTreeMap<String, Vec<usize>>) -> Result<(), String> {
        let mut named = Vec::new();
        for (name, dims) in shapes {
            for (dim, &n) in self.pin_shape(name, dims)?.into_iter().zip(dims) {
                named.push((dim, n));
            }
        }
        for (dim, n) in &named {
            // Two sizes for one name are the user's word against the model's: other inputs stay as they are then.
            if named.iter().all(|(other, m)| other != dim || m == n) {
                self.pin_named(dim, *n);
            }
        }
        Ok(())
    }

    /// Returns the extents that were declared.
    fn pin_shape(&mut self, name: &str, dims: &[usize]) -> Result<Vec<Dim>, String> {
        let names: Vec<&str> = self.input_infos().map(|i| i.name.as_str()).collect();
        let input = self.graph.inputs.iter().position(|i| i.name == name).filter(|_| names.contains(&name));
        let Some(input) = input else {
            let near = near::listed(name, names.iter().copied());
            return Err(format!("the model has no input {name:?}{near}; its inputs are {}", names.join(", ")));
        };
        let pinned = dims.iter().map(|&d| Dim::Fixed(d)).collect();
        let declared = self.graph.inputs[input].shape.replace(pinned);
        let fits = |declared: &[Dim]| {
            let contradicts = |(d, n): (&Dim, &usize)| matches!(d, Dim::Fixed(m) if m != n);
            declared.len() == dims.len() && !declared.iter().zip(dims).any(contradicts)
        };
        match declared {
            Some(declared) if !fits(&declared) => {
                let declared = listed(&declared);
                Err(format!("shape {dims:?} contradicts input {name:?}, which is declared as [{declared}]"))
            }
            declared => Ok(declared.unwrap_or_default()),
        }
    }

    /// Gives the batch extents of the inputs the size `n`: those whose name contains "batch"; in an input without one its first
    /// extent, where that is dynamic and either nameless or no input names an extent like that.
    ///
    /// # Errors
    /// A sentence, where there is no such extent and the first ones are not all `n` already.
    pub fn pin_batch(&mut self, n: usize) -> Result<(), String> {
        let is_batch = |dim: &Dim| matches!(dim, Dim::Named(name) if name.to_lowercase().contains("batch"));
        let inputs: Vec<(String, Vec<Dim>)> =
            self.input_infos().map(|i| (i.name.clone(), i.shape.clone().unwrap_or_default())).collect();
        let any_named = inputs.iter().flat_map(|(_, dims)| dims).any(is_batch);
        let mut batch = Vec::new();
        for (name, dims) in &inputs {
            let named = dims.iter().any(is_batch);
            let is_first = |axis, dim: &Dim| axis == 0 && !named && (*dim == Dim::Unknown || !any_named);
            let dynamic = dims.iter().enumerate().filter(|(_, dim)| !matches!(dim, Dim::Fixed(_)));
            batch
                .extend(dynamic.filter(|(axis, d)| is_batch(d) || is_first(*axis, d)).map(|(axis, d)| (name, axis, d)));
        }
        for &(name, axis, dim) in &batch {
            let input = self.graph.inputs.iter_mut().find(|i| i.name == *name);
            if let Some(found) = input.and_then(|i| i.shape.as_mut()).and_then(|shape| shape.get_mut(axis)) {
                *found = Dim::Fixed(n);
            }
            self.pin_named(dim, n);
        }
        let is_so = inputs.iter().filter_map(|(_, dims)| dims.first()).all(|dim| *dim == Dim::Fixed(n));
        if !batch.is_empty() || is_so {
            return Ok(());
        }
        let inputs = inputs.iter().map(|(name, dims)| format!("{name} [{}]", listed(dims)));
        let inputs: Vec<String> = inputs.collect();
        Err(format!("batch {n}: no input has a dynamic batch extent; the inputs are {}", inputs.join(", ")))
    }

    /// Extents of one name are one extent.
    fn pin_named(&mut self, dim: &Dim, n: usize) {
        if !matches!(dim, Dim::Named(_)) {
            return;
        }
        for found in self.graph.inputs.iter_mut().flat_map(|info| info.shape.iter_mut().flatten()) {
            if found == dim {
                *found = Dim::Fixed(n);
            }
        }
    }
}

fn listed(dims: &[Dim]) -> String {
    dims.iter().map(Dim::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::{Graph, ValueInfo};
    use crate::tensor::DType;

    /// Inputs `a`, `b`, .. of the given extents: a number, a name, or `?`.
    fn model(inputs: &[&[&str]]) -> Model {
        let dim = |text: &&str| match text.parse() {
            Ok(n) => Dim::Fixed(n),
            Err(_) if *text == "?" => Dim::Unknown,
            Err(_) => Dim::Named(text.to_string()),
        };
        let names = ('a'..='z').map(String::from);
        let info = |(name, dims): (String, &&[&str])| {
            let shape = Some(dims.iter().map(dim).collect());
            ValueInfo { name, dtype: Some(DType::F32), shape }
        };
        let inputs = names.zip(inputs).map(info).collect();
        Model { graph: Graph { inputs, ..Graph::default() }, ..Model::default() }
    }

    fn shapes(model: &Model) -> Vec<String> {
        model.input_infos().map(|i| listed(i.shape.as_deref().unwrap_or_default())).collect()
    }

    #[test]
    fn the_batch_is_found_by_its_name_or_by_its_place() {
        let pinned = |inputs: &[&[&str]]| {
            let mut model = model(inputs);
            model.pin_batch(4).map(|()| shapes(&model))
        };
        let all = |shapes: &[&str]| Ok(shapes.iter().map(|s| s.to_string()).collect::<Vec<_>>());
        assert_eq!(pinned(&[&["batch_size", "seq"], &["seq", "batch_size"]]), all(&["4,seq", "seq,4"]));
        assert_eq!(pinned(&[&["N", "3", "H"], &["?"], &["7", "N"]]), all(&["4,3,H", "4", "7,4"]));
        assert_eq!(pinned(&[&["seq", "Batch"], &["seq"], &["?", "5"]]), all(&["seq,4", "seq", "4,5"]));
        assert_eq!(pinned(&[&["4", "?"]]), all(&["4,?"]));
        assert!(pinned(&[&["3", "?"]]).is_err_and(|e| e.contains("a [3,?]")));
    }

    #[test]
    fn one_name_is_one_extent() {
        let mut model = model(&[&["batch", "seq"], &["batch", "8"], &["seq"]]);
        model.pin_shapes(&BTreeMap::from([("a".into(), vec![2, 6])])).unwrap();
        assert_eq!(shapes(&model), ["2,6", "2,8", "6"]);
        let error = model.pin_shapes(&BTreeMap::from([("b".into(), vec![3, 8])])).unwrap_err();
        assert!(error.contains("contradicts") && error.contains("[2,8]"), "{error}");
        let error = model.pin_shapes(&BTreeMap::from([("A".into(), vec![3, 8])])).unwrap_err();
        assert!(error.contains("did you mean \"a\"") && error.contains("a, b, c"), "{error}");
    }

    #[test]
    fn two_sizes_for_one_name_are_the_users_word() {
        let mut model = model(&[&["n"], &["n"], &["n"]]);
        model.pin_shapes(&BTreeMap::from([("a".into(), vec![2]), ("b".into(), vec![3])])).unwrap();
        assert_eq!(shapes(&model), ["2", "3", "n"]);
    }
}
