//! Where values come from: flags over environment over file over defaults.
//!
//! Invariant: a value is taken whole from the first layer that has it; lists are not added up.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use super::keys::{Key, PREFIX};
use super::value::Value;
use crate::error::Failure;

/// What one source says, and where it says so.
pub type Layer = BTreeMap<Key, Setting>;

/// A value and where it comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setting {
    /// The value.
    pub value: Value,
    /// Where it comes from.
    pub source: Source,
}

/// Where a value comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// The command line.
    Flag,
    /// The environment.
    Environment,
    /// A file.
    File {
        /// Its path.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// Nobody said anything.
    Default,
}

impl Source {
    /// How an error names what gave a key its value.
    pub(super) fn naming(&self, key: Key) -> String {
        match self {
            Self::Flag => format!("--{}", key.name()),
            Self::Environment => key.variable(),
            Self::File { path, line } => format!("{}:{line}: {}", path.display(), key.name()),
            Self::Default => format!("the default of {}", key.name()),
        }
    }

    /// What kind of source it is, in a word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Environment => "environment",
            Self::File { .. } => "file",
            Self::Default => "default",
        }
    }
}

/// What the environment says. An empty variable counts as unset.
pub fn environment(read: impl Fn(&str) -> Option<OsString>) -> Result<Layer, Failure> {
    let mut layer = Layer::new();
    for key in Key::ALL {
        let variable = key.variable();
        let Some(found) = read(&variable).filter(|found| !found.is_empty()) else { continue };
        let found = found.to_str().ok_or_else(|| "bytes that are no UTF-8".to_owned());
        let value = found.and_then(|text| key.kind().read_text(text)).map_err(|wrong| {
            Failure::usage(format!("the environment variable {variable} has a wrong value: {wrong}"))
                .hint(format!("allowed is {}", key.kind().allowed_text()))
        })?;
        layer.insert(key, Setting { value, source: Source::Environment });
    }
    Ok(layer)
}

/// Variables that look as if one of ours was meant, each with the one that was.
pub fn misspelt(names: impl Iterator<Item = String>) -> Vec<(String, String)> {
    let meant = |name: String| {
        let rest = name.strip_prefix(PREFIX)?.to_lowercase().replace('_', "-");
        let key = Key::nearest(&rest).filter(|key| key.name() != rest)?;
        Some((name, key.variable()))
    };
    names.filter_map(meant).collect()
}

/// Every key's value, from the first layer that has it, or its default.
pub(super) fn merge(layers: [Layer; 3]) -> Layer {
    let first = |key: Key| layers.iter().find_map(|layer| layer.get(&key)).cloned();
    let default = |key: Key| Setting { value: key.default(), source: Source::Default };
    Key::ALL.into_iter().map(|key| (key, first(key).unwrap_or_else(|| default(key)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::value::Kind;

    fn of(name: &str, value: &str) -> Result<Layer, Failure> {
        environment(|asked| (asked == name).then(|| value.into()))
    }

    #[test]
    fn a_wrong_variable_is_named_with_what_is_allowed() {
        // Any text is a path.
        for key in Key::ALL.into_iter().filter(|key| key.kind() != Kind::Path) {
            let failure = of(&key.variable(), "?").unwrap_err().to_string();
            assert!(failure.contains(&key.variable()), "{failure}");
            assert!(failure.contains(&key.kind().allowed_text()), "{failure}");
        }
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        assert_eq!(of("PLASMAD_MEMORY", "").unwrap(), Layer::new());
        assert_eq!(of("PLASMAD_MEMORY", "1GiB").unwrap().len(), 1);
    }

    #[test]
    fn a_variable_that_is_nearly_one_of_ours_is_noticed_and_others_are_left_alone() {
        let names =
            ["PLASMAD_MEMROY", "PLASMAD_MEMORY", "PLASMAD_BIN", "PLASMAD_SEED", "PLASMAD_TEST_SOCKET", "MEMROY"];
        let found = misspelt(names.into_iter().map(str::to_owned));
        assert_eq!(found, [("PLASMAD_MEMROY".to_owned(), "PLASMAD_MEMORY".to_owned())]);
    }

    #[test]
    fn flags_win_over_the_environment_over_the_file_over_defaults() {
        let layer = |keys: &[Key], count: u32, source: Source| -> Layer {
            keys.iter().map(|key| (*key, Setting { value: Value::Count(count), source: source.clone() })).collect()
        };
        let file = Source::File { path: "/f".into(), line: 1 };
        let flags = layer(&[Key::Memory], 1, Source::Flag);
        let environment = layer(&[Key::Memory, Key::Socket], 2, Source::Environment);
        let in_file = layer(&[Key::Memory, Key::Socket, Key::Populate], 3, file.clone());
        let merged = merge([flags, environment, in_file]);
        let found = |key: Key| (&merged[&key].value, &merged[&key].source);
        assert_eq!(found(Key::Memory), (&Value::Count(1), &Source::Flag));
        assert_eq!(found(Key::Socket), (&Value::Count(2), &Source::Environment));
        assert_eq!(found(Key::Populate), (&Value::Count(3), &file));
        assert_eq!(found(Key::LogLevel), (&Value::Word("info"), &Source::Default));
    }
}
