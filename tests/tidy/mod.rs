//! House rules, as a test.
//!
//! Each rule looks at one file at a time and says what is wrong in it. Beside it stand files it must complain of, so
//! that a rule which stopped to see anything is noticed, and files it must let pass.
//!
//! | module | what is in it |
//! |---|---|
//! | `rules` | what may stand in a file |
//! | `layers` | who may know whom |
//! | `tree` | the files of this repository |

mod layers;
mod rules;
mod tree;

use tree::File;

/// What a file must be like.
struct Rule {
    /// As a sentence.
    name: &'static str,
    /// Complaints about a file.
    check: fn(&File) -> Vec<String>,
    /// Paths and texts it must complain of.
    catches: &'static [(&'static str, &'static str)],
    /// Paths and texts it must not.
    passes: &'static [(&'static str, &'static str)],
}

#[test]
fn the_tree_keeps_the_house_rules() {
    let files = tree::files();
    assert!(files.len() > 100, "only {} files were found", files.len());
    let complaints: Vec<String> = all_rules().flat_map(|rule| complaints(rule, &files)).collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn every_rule_catches_what_it_must_and_nothing_else() {
    let file = |(path, text): &(&str, &str)| File { path: path.to_string(), text: text.to_string() };
    for rule in all_rules() {
        assert!(!rule.catches.is_empty(), "{} is not proven", rule.name);
        for caught in rule.catches {
            assert!(!(rule.check)(&file(caught)).is_empty(), "{}: {caught:?} is not caught", rule.name);
        }
        for passed in rule.passes {
            assert_eq!((rule.check)(&file(passed)), Vec::<String>::new(), "{}: {passed:?}", rule.name);
        }
    }
}

/// A file that no other names is not compiled, and its tests never run.
#[test]
fn every_source_file_is_part_of_its_crate() {
    let files = tree::files();
    let orphans = tree::orphans(&files);
    assert!(orphans.is_empty(), "{orphans:?}");
    let canary =
        [("src/lib.rs", "mod a;\nmod b;"), ("src/a.rs", "mod inner;"), ("src/a/inner.rs", ""), ("src/b/mod.rs", "")];
    let mut canary: Vec<File> = canary.map(|(path, text)| File { path: path.to_owned(), text: text.to_owned() }).into();
    assert_eq!(tree::orphans(&canary), Vec::<&str>::new());
    canary.push(File { path: "src/b/forgotten.rs".to_owned(), text: String::new() });
    assert_eq!(tree::orphans(&canary), ["src/b/forgotten.rs"]);
}

fn all_rules() -> impl Iterator<Item = &'static Rule> {
    rules::RULES.iter().chain(layers::RULES)
}

fn complaints(rule: &'static Rule, files: &[File]) -> Vec<String> {
    let complain = |file: &File| {
        let found = (rule.check)(file).into_iter();
        found.map(|what| format!("{}: {what} ({})", file.path, rule.name)).collect::<Vec<_>>()
    };
    files.iter().flat_map(complain).collect()
}
