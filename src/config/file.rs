//! The configuration file: TOML, one key a line, the names those of the flags.

use std::fs;
use std::path::Path;

use toml::de::DeTable;

use super::keys::Key;
use super::layers::{Layer, Setting, Source};
use crate::error::Failure;

/// What a file says.
pub fn read(path: &Path) -> Result<Layer, Failure> {
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("the configuration file {} can't be read: {error}", path.display())))?;
    parse(&text, path)
}

/// What a file with this text says; the first mistake is the error, with its line.
pub fn parse(text: &str, path: &Path) -> Result<Layer, Failure> {
    let place = |offset: usize| format!("{}:{}", path.display(), line_at(text, offset));
    let table = DeTable::parse(text).map_err(|error| {
        let offset = error.span().map_or(text.len(), |span| span.start);
        Failure::usage(format!("{}: this is no TOML: {}", place(offset), error.message()))
    })?;
    let mut entries: Vec<_> = table.get_ref().iter().collect();
    // So that the first mistake told is the first in the file.
    entries.sort_by_key(|(name, _)| name.span().start);
    let mut layer = Layer::new();
    for (name, value) in entries {
        let place = place(name.span().start);
        let name_text = name.get_ref().as_ref();
        let key = Key::named(name_text).ok_or_else(|| unknown(&place, name_text))?;
        let value = key.kind().read_toml(value.get_ref()).map_err(|wrong| {
            Failure::usage(format!("{place}: {} has a wrong value: {wrong}", key.name()))
                .hint(format!("allowed is {}", key.kind().allowed_toml()))
        })?;
        let source = Source::File { path: path.to_path_buf(), line: line_at(text, name.span().start) };
        layer.insert(key, Setting { value, source });
    }
    Ok(layer)
}

fn unknown(place: &str, name: &str) -> Failure {
    let failure = Failure::usage(format!("{place}: there is no key {name:?}"));
    match Key::nearest(name) {
        Some(key) => failure.hint(format!("did you mean {:?}?", key.name())),
        None => failure.hint(format!("the keys are {}", Key::ALL.map(Key::name).join(", "))),
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::value::Value;

    fn refused(text: &str) -> String {
        parse(text, Path::new("/etc/p.toml")).unwrap_err().to_string()
    }

    #[test]
    fn values_come_with_their_line() {
        let layer = parse("# a comment\n\nmax-objects = 1_000\nwriter-uid = [\n 1,\n 2 ]\n", Path::new("/f")).unwrap();
        let source = |line| Source::File { path: "/f".into(), line };
        assert_eq!(layer[&Key::MaxObjects], Setting { value: Value::Count(1000), source: source(3) });
        assert_eq!(layer[&Key::WriterUid], Setting { value: Value::Ids(vec![1, 2]), source: source(4) });
        assert_eq!(layer.len(), 2);
    }

    #[test]
    fn a_wrong_type_names_file_line_key_and_what_is_allowed() {
        let said = refused("populate = \"all\"\nmemory = true\n");
        assert_eq!(
            said,
            "/etc/p.toml:2: memory has a wrong value: it is a boolean; \
             allowed is a size in quotes such as \"512MiB\", \"4GiB\" or \"30%\", or a number of bytes"
        );
        for (key, wrong) in [
            ("socket", "3"),
            ("when-full", "[]"),
            ("max-objects", "\"many\""),
            ("reader-uid", "1000"),
            ("reader-gid", "[\"users\"]"),
            ("no-spill", "\"yes\""),
            ("log-level", "3"),
        ] {
            let said = refused(&format!("{key} = {wrong}"));
            assert!(said.starts_with(&format!("/etc/p.toml:1: {key} has a wrong value")), "{said}");
            assert!(said.ends_with(&Key::named(key).unwrap().kind().allowed_toml()), "{said}");
        }
    }

    #[test]
    fn a_wrong_value_is_told_as_it_stands_there() {
        for (line, told) in [
            ("memory = \"lots\"", "\"lots\" is no size"),
            ("memory = -1", "-1 is no size"),
            ("max-objects = 0", "wrong value: 0;"),
            ("log-level = \"loud\"", "wrong value: \"loud\";"),
            ("writer-gid = [1, -2]", "wrong value: -2;"),
        ] {
            assert!(refused(line).contains(told), "{line}: {}", refused(line));
        }
    }

    #[test]
    fn an_unknown_key_is_told_with_the_one_that_was_meant_or_with_all() {
        assert_eq!(refused("\nmemroy = 1"), "/etc/p.toml:2: there is no key \"memroy\"; did you mean \"memory\"?");
        assert!(refused("[serve]\nmemory = 1").contains("the keys are socket, memory, when-full"));
    }

    #[test]
    fn the_first_mistake_of_several_is_told() {
        assert!(refused("socket = 1\nbogus = 2").contains(":1: socket"));
        assert!(refused("zzz = 1\naaa = 2").contains(":1: there is no key \"zzz\""));
    }

    #[test]
    fn what_is_no_toml_is_told_with_its_line() {
        assert!(refused("memory = 1\nsocket = \"a").starts_with("/etc/p.toml:2: this is no TOML"));
        assert!(refused("memory = 1\nmemory = 2").starts_with("/etc/p.toml:2: this is no TOML: duplicate key"));
    }
}
