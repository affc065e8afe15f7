//! The resolved configuration as a TOML file that says where each value comes from.
//!
//! Invariant: what is printed here is a configuration file that gives the same configuration again.

use serde_json::{Map, Value as Json};

use super::Config;
use super::keys::Key;
use super::layers::Source;
use super::resolve::Settings;
use super::value::Value;
use crate::size::{self, Size};

/// `memory = 4294967296  # file /etc/plasmad.toml:3, 4.0 GiB`
pub fn toml(settings: &Settings, config: &Config) -> String {
    let lines: Vec<(String, String)> = Key::ALL.into_iter().map(|key| line(settings, config, key)).collect();
    let width = lines.iter().map(|(setting, _)| setting.chars().count()).max().unwrap_or(0);
    lines.into_iter().map(|(setting, comment)| format!("{setting:<width$}  # {comment}\n")).collect()
}

/// The same for programs: `config` and `sources`, both by key.
pub fn document(settings: &Settings, config: &Config) -> Json {
    let value = |key: Key| match resolved(settings, config, key) {
        Value::Path(path) => Json::from(path.to_string_lossy()),
        Value::Memory(_) => Json::from(config.memory_bytes),
        Value::Disk(Size::Bytes(bytes)) => Json::from(bytes),
        Value::Disk(share) => Json::from(Value::Disk(share).to_text()),
        Value::Word(word) => Json::from(word),
        Value::Count(count) => Json::from(count),
        Value::Ids(ids) => Json::from(ids),
        Value::Switch(switch) => Json::from(switch),
    };
    let by_key = |of: &dyn Fn(Key) -> Json| -> Json {
        Key::ALL.into_iter().map(|key| (key.name().to_owned(), of(key))).collect::<Map<_, _>>().into()
    };
    let source = |key: Key| Json::from(settings.get(key).source.word());
    serde_json::json!({ "config": by_key(&value), "sources": by_key(&source) })
}

fn line(settings: &Settings, config: &Config, key: Key) -> (String, String) {
    let setting = settings.get(key);
    let mut comment = match &setting.source {
        Source::Flag => format!("flag --{}", key.name()),
        Source::Environment => format!("environment {}", key.variable()),
        Source::File { path, line } => format!("file {}:{line}", one_line(&path.to_string_lossy())),
        Source::Default => "default".to_owned(),
    };
    if let Value::Memory(asked) = setting.value {
        if let Size::Percent(_) = asked {
            comment += &format!(" {}", setting.value.to_text());
        }
        comment += &format!(", {}", size::display(config.memory_bytes));
    }
    if let Value::Disk(Size::Bytes(bytes)) = setting.value {
        comment += &format!(", {}", size::display(bytes));
    }
    (format!("{} = {}", key.name(), resolved(settings, config, key).to_toml()), comment)
}

/// Shares of the machine become bytes.
fn resolved(settings: &Settings, config: &Config, key: Key) -> Value {
    match &settings.get(key).value {
        Value::Memory(_) => Value::Memory(Size::Bytes(config.memory_bytes)),
        value => value.clone(),
    }
}

/// A comment ends with its line, and may hold no control characters.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::file::parse;
    use crate::config::layers::Layer;

    #[test]
    fn what_is_printed_gives_the_same_configuration_again() {
        let text =
            "memory = \"2MiB\"\nwriter-uid = [7, 8]\nsocket = \"/a\\nb\"\nno-spill = true\nlog-format = \"json\"";
        let file = parse(text, Path::new("/odd\nname")).unwrap();
        let settings = Settings::new(Layer::new(), Layer::new(), file);
        let printed = toml(&settings, &settings.config(None).unwrap());
        let again = Settings::new(Layer::new(), Layer::new(), parse(&printed, Path::new("/g")).unwrap());
        for key in Key::ALL {
            assert_eq!(settings.get(key).value, again.get(key).value, "{key:?} of\n{printed}");
        }
        assert!(printed.contains("# file /odd?name:2\n"), "{printed}");
    }

    #[test]
    fn a_share_of_the_machine_is_printed_in_bytes_beside_the_share() {
        let settings = Settings::new(Layer::new(), Layer::new(), Layer::new());
        let config = Config { memory_bytes: 3 << 30, ..settings.config(None).unwrap() };
        let printed = toml(&settings, &config);
        let line = printed.lines().find(|line| line.starts_with("memory")).unwrap();
        let (value, comment) = line.split_once('#').unwrap();
        assert_eq!((value.trim(), comment), ("memory = 3221225472", " default 30%, 3.0 GiB"));
    }
}
