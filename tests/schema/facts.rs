//! The schema against what others say about the format.

use std::collections::BTreeMap;
use std::path::Path;

use litesmith::schema::{ENUMS, EnumFacts, FieldFacts, TABLES, UNIONS};
use serde_json::{Value, json};

/// `fixtures/schema/facts.json` comes from the bindings that LiteRT ships; see `make.py` beside it.
fn bindings() -> Value {
    serde_json::from_str(include_str!("../../fixtures/schema/facts.json")).expect("facts.json is JSON")
}

fn repr(name: &str) -> &'static str {
    match name {
        "i8" => "int8",
        "i32" => "int32",
        "u32" => "uint32",
        other => panic!("an enum of {other}"),
    }
}

fn find_enum(name: &str) -> Option<&'static EnumFacts> {
    ENUMS.iter().find(|declared| declared.name == name)
}

fn is_union(name: &str) -> bool {
    UNIONS.iter().any(|union| union.name == name)
}

/// `stride_w` is `StrideW` in the bindings.
fn camel(name: &str) -> String {
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('_').map(capital).collect()
}

/// A scalar's default as JSON.
fn default(field: &FieldFacts) -> Value {
    match field.default {
        "" => Value::Null,
        number => serde_json::from_str(number).expect("a number or a truth value"),
    }
}

#[test]
fn enums_and_unions_are_those_of_the_bindings() {
    let theirs = bindings();
    let ours: BTreeMap<_, BTreeMap<_, _>> =
        ENUMS.iter().map(|e| (e.name, e.members.iter().copied().collect())).collect();
    assert_eq!(json!(ours), theirs["enums"]);

    let none = [("NONE", 0)];
    let tags = |members: &'static [&str]| members.iter().copied().zip(1..);
    let ours: BTreeMap<_, BTreeMap<_, _>> =
        UNIONS.iter().map(|u| (u.name, none.into_iter().chain(tags(u.members)).collect())).collect();
    assert_eq!(json!(ours), theirs["unions"]);
}

/// The bindings leave out deprecated fields and give enums as plain numbers.
#[test]
fn fields_are_those_of_the_bindings() {
    let row = |id: u16, name: &str, type_: &str, default: Value| json!([id, name, type_, default]);
    let mut ours = BTreeMap::new();
    for table in TABLES {
        let mut rows = Vec::new();
        for field in table.fields.iter().filter(|field| !field.deprecated) {
            let name = camel(field.name);
            let element = field.type_.trim_matches(['[', ']']);
            if is_union(field.type_) {
                rows.push(row(field.id, &format!("{name}Type"), "uint8", json!(0)));
                rows.push(row(field.id + 1, &name, "union", Value::Null));
            } else if let Some(declared) = find_enum(element) {
                let type_ = field.type_.replace(element, repr(declared.repr));
                rows.push(row(field.id, &name, &type_, default(field)));
            } else {
                rows.push(row(field.id, &name, field.type_, default(field)));
            }
        }
        ours.insert(table.name, rows);
    }
    let theirs = &bindings()["tables"];
    for (name, rows) in &ours {
        // Numbers compare by value: the bindings write a float's default as 0.0, the schema as 0.
        let same =
            |ours: &Value, theirs: &Value| ours == theirs || (ours.is_number() && ours.as_f64() == theirs.as_f64());
        let theirs = theirs[*name].as_array().unwrap_or_else(|| panic!("the bindings have no table {name}"));
        assert_eq!(rows.len(), theirs.len(), "{name}: {rows:?} {theirs:?}");
        for (ours, theirs) in rows.iter().zip(theirs) {
            let all = (0..4).all(|i| same(&ours[i], &theirs[i]));
            assert!(all, "{name}: {ours} is {theirs} in the bindings");
        }
    }
    assert_eq!(ours.len(), theirs.as_object().expect("tables").len());
}

/// What the bindings do not tell.
#[test]
fn alignment_and_deprecation() {
    let fields = || TABLES.iter().flat_map(|table| table.fields.iter().map(move |field| (table.name, field)));
    let aligned: Vec<_> =
        fields().filter(|(_, f)| f.force_align > 0).map(|(table, f)| (table, f.name, f.force_align)).collect();
    assert_eq!(
        aligned,
        [
            ("CustomQuantization", "custom", 16),
            ("Uint16Vector", "values", 4),
            ("Uint8Vector", "values", 4),
            ("Buffer", "data", 16),
        ]
    );
    let deprecated: Vec<_> = fields().filter(|(_, f)| f.deprecated).map(|(table, f)| (table, f.name, f.id)).collect();
    assert_eq!(
        deprecated,
        [
            ("ResizeBilinearOptions", "new_height", 0),
            ("ResizeBilinearOptions", "new_width", 1),
            ("SignatureDef", "deprecated_tag", 3),
        ]
    );
}

/// A fuller description of the format, with the enum of every field, if it lies beside the repository.
#[test]
fn types_are_those_of_the_full_description() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/reference/tflite-schema-facts.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("skipped: no {}", path.display());
        return;
    };
    let facts: Value = serde_json::from_str(&text).expect("JSON");
    let mut theirs = BTreeMap::new();
    for (name, table) in facts["tables"].as_object().expect("tables") {
        for field in table["fields"].as_array().expect("fields").iter().filter(|field| field["implicit"] != true) {
            let type_ = field["type"].as_str().expect("a type");
            let element = type_.trim_matches(['[', ']']);
            let sized = facts["meta"]["int_aliases"][element].as_str().unwrap_or(element);
            let is_union = field["kind"] == "union";
            let key = (name.clone(), field["id"].as_u64().expect("an id") - u64::from(is_union));
            let align = field["force_align"].as_u64().unwrap_or(0);
            let name = field["name"].as_str().expect("a name").to_owned();
            theirs.insert(key, (name, type_.replace(element, sized), field["deprecated"] == true, align));
        }
    }
    let mut ours = BTreeMap::new();
    for table in TABLES {
        for field in table.fields {
            let facts = (field.name.to_owned(), field.type_.to_owned(), field.deprecated, field.force_align.into());
            ours.insert((table.name.to_owned(), field.id.into()), facts);
        }
    }
    for (key, field) in &theirs {
        assert_eq!(ours.get(key), Some(field), "{key:?}");
    }
    assert_eq!(ours.len(), theirs.len());
}
