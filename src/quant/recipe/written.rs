//! Recipes as TOML, which people write and the search for a mixed precision writes.
//!
//! ```toml
//! [[rule]]
//! op = ["Conv", "Gemm"]
//! name = "^/encoder/"
//! quantize = "int8"
//! ```

use serde::{Deserialize, Serialize};

use super::Recipe;

pub(super) fn parse(text: &str) -> Result<Recipe, String> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| text.get(..span.start).unwrap_or(text).lines().count().max(1));
        let line = line.map(|line| format!("line {line}: ")).unwrap_or_default();
        format!("{line}{}", error.message().trim())
    })
}

pub(super) fn write(recipe: &Recipe) -> Result<String, String> {
    toml::to_string(recipe).map_err(|error| error.to_string())
}

/// One name, or a list of them.
pub(super) mod one_or_more {
    use serde::{Deserializer, Serializer};

    use super::{Deserialize, Serialize};

    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a name or a list of names")]
    enum Names {
        One(String),
        More(Vec<String>),
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
        Ok(match Names::deserialize(from)? {
            Names::One(name) => vec![name],
            Names::More(names) => names,
        })
    }

    pub(in super::super) fn serialize<S: Serializer>(names: &[String], to: S) -> Result<S::Ok, S::Error> {
        match names {
            [name] => name.serialize(to),
            names => names.serialize(to),
        }
    }
}
