//! What may stand in a file.

use super::Rule;
use super::tree::File;

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "unsafe code stays in protocol/shm and at the edge of a binding",
        check: |file| {
            let allowed = ["protocol/shm/src", "clients/python/src"].iter().any(|folder| file.is_in(folder));
            if allowed { Vec::new() } else { unsafe_lines(file).map(|line| format!("line {line}")).collect() }
        },
        catches: &[("src/a.rs", "fn f() { unsafe { g() } }"), ("tests/it/a.rs", "unsafe impl Send for A {}")],
        passes: &[
            ("protocol/shm/src/a.rs", "unsafe { g() }"),
            ("src/a.rs", "#![forbid(unsafe_code)] // unsafe {\nlet text = \"unsafe {\";"),
        ],
    },
    Rule {
        name: "unsafe code says why it is sound",
        check: |file| {
            let lines: Vec<&str> = file.text.lines().collect();
            let explained = |line: &usize| {
                let before = &lines[line.saturating_sub(1 + COMMENT_LINES_MAX)..*line];
                before.iter().any(|line| line.contains("SAFETY:") || line.contains("# Safety"))
            };
            unsafe_lines(file).filter(|line| !explained(line)).map(|line| format!("line {line}")).collect()
        },
        catches: &[("protocol/shm/src/a.rs", "// It is fine.\nunsafe { g() }")],
        passes: &[("protocol/shm/src/a.rs", "// SAFETY: it takes no memory.\nlet x = unsafe { g() };")],
    },
    Rule {
        name: "crates that promise to have no unsafe code hold themselves to it",
        check: |file| {
            lacks(
                file,
                &["src/lib.rs", "src/core/lib.rs", "protocol/wire/src/lib.rs", "clients/rust/src/lib.rs"],
                "#![forbid(unsafe_code)]",
            )
        },
        catches: &[("src/lib.rs", "pub mod a;"), ("clients/rust/src/lib.rs", "// #![deny(unsafe_code)]")],
        passes: &[("src/lib.rs", "#![forbid(unsafe_code)]"), ("src/a.rs", "")],
    },
    Rule {
        name: "core and wire need no operating system",
        check: |file| lacks(file, &["src/core/lib.rs", "protocol/wire/src/lib.rs"], "#![no_std]"),
        catches: &[("src/core/lib.rs", "")],
        passes: &[("src/core/lib.rs", "#![no_std]")],
    },
    Rule {
        name: "a file has at most 600 lines",
        check: |file| {
            let lines = file.text.lines().count();
            if file.is(&["rs", "py", "sh"]) && lines > LINES_MAX { vec![format!("{lines} lines")] } else { Vec::new() }
        },
        catches: &[("src/a.rs", LONG)],
        passes: &[("docs/a.md", LONG)],
    },
    Rule {
        name: "nothing unfinished and nothing for debugging is left",
        check: |file| code_with(file, &[concat!("to", "do!("), concat!("unimple", "mented!("), concat!("db", "g!(")]),
        catches: &[
            ("src/a.rs", concat!("to", "do!()")),
            ("tests/a.rs", concat!("    unimple", "mented!(\"later\")")),
            ("benches/a.rs", concat!("let x = db", "g!(x);")),
        ],
        passes: &[("src/a.rs", concat!("// no to", "do!()"))],
    },
    Rule {
        name: "no merge is left half done",
        check: |file| {
            let begins = |line: &&str| ["<<<<<<< ", "||||||| ", ">>>>>>> "].iter().any(|mark| line.starts_with(mark));
            file.text.lines().filter(begins).map(str::to_owned).collect()
        },
        catches: &[("README.md", "one\n<<<<<<< HEAD\n"), ("src/a.rs", ">>>>>>> other")],
        passes: &[("README.md", "Heading\n=======\n"), ("src/a.rs", "a <<<<<<< b")],
    },
    Rule {
        name: "a file starts with what it is",
        check: |file| {
            let starts = file.text.starts_with("//!");
            if file.is(&["rs"]) && !starts { vec!["no module documentation".to_owned()] } else { Vec::new() }
        },
        catches: &[("src/a.rs", "use std::fs;\n")],
        passes: &[("src/a.rs", "//! A file.\n"), ("a.py", "import os\n")],
    },
    Rule {
        name: "tests wait for what must come, and don't sleep",
        check: |file| match file.is_in("tests") && file.path != "tests/support/until.rs" {
            true => code_with(file, &["thread::sleep(", "sleep_ms("]),
            false => Vec::new(),
        },
        catches: &[("tests/it/a.rs", "std::thread::sleep(SECOND);")],
        passes: &[("tests/support/until.rs", "std::thread::sleep(SECOND);"), ("src/a.rs", "thread::sleep(SECOND);")],
    },
    Rule {
        name: "a test that is ignored says why",
        check: |file| code_with(file, &["#[ignore]", "#[should_panic]"]),
        catches: &[("tests/a.rs", "#[test]\n#[ignore]\nfn a() {}"), ("src/a.rs", "    #[should_panic]")],
        passes: &[("tests/a.rs", "#[ignore = \"takes an hour\"]\n#[should_panic(expected = \"why\")]")],
    },
    Rule {
        name: "nothing names a place on one machine or a registry's host",
        check: |file| {
            let places = [
                concat!("/wo", "rk/"),
                concat!("/ro", "ot/"),
                concat!("/ho", "me/"),
                concat!("crates", ".io"),
                concat!("pypi", ".org"),
                concat!("npmjs", ".org"),
                concat!("deb.debian", ".org"),
            ];
            let named = |line: &str| places.iter().find(|place| line.contains(**place)).copied();
            let lines = file.text.lines().enumerate();
            lines.filter_map(|(at, line)| Some(format!("line {} names {}", at + 1, named(line)?))).collect()
        },
        catches: &[("README.md", concat!("cd /wo", "rk/x")), ("Makefile", concat!("URL=https://pypi", ".org/simple"))],
        passes: &[("README.md", "cd plasmad; ls framework/x ../root")],
    },
];

fn lacks(file: &File, paths: &[&str], line: &str) -> Vec<String> {
    let there = file.text.lines().any(|found| found == line);
    if paths.contains(&file.path.as_str()) && !there { vec![format!("{line} is missing")] } else { Vec::new() }
}

/// Numbers of lines with the word `unsafe`.
fn unsafe_lines(file: &File) -> impl Iterator<Item = usize> {
    let is_word = |code: &str| code.split(|at: char| !at.is_alphanumeric() && at != '_').any(|word| word == "unsafe");
    file.code().filter(move |(_, code)| file.is(&["rs"]) && is_word(code)).map(|(line, _)| line)
}

fn code_with(file: &File, banned: &[&str]) -> Vec<String> {
    let lines = file.code().filter(|(_, code)| file.is(&["rs"]) && banned.iter().any(|word| code.contains(word)));
    lines.map(|(line, code)| format!("line {line}: {}", code.trim())).collect()
}

const LINES_MAX: usize = 600;
/// A proof of soundness stands this close above its code.
const COMMENT_LINES_MAX: usize = 6;

/// One line too many.
const LONG: &str = {
    const BYTES: [u8; LINES_MAX + 1] = [b'\n'; LINES_MAX + 1];
    match std::str::from_utf8(&BYTES) {
        Ok(text) => text,
        Err(_) => panic!("line feeds are text"),
    }
};
