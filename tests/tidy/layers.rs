//! Who may know whom: the picture of the crates, as a rule.

use super::Rule;
use super::tree::File;

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "a layer uses only those below it",
        check: |file| {
            let Some((_, allowed)) = LAYERS.iter().find(|(folder, _)| file.is_in(folder)) else { return Vec::new() };
            let lines =
                file.code().flat_map(|(line, code)| crates_in(&code).map(move |name| (line, name)).collect::<Vec<_>>());
            let wrong = lines.filter(|(_, name)| file.is(&["rs"]) && !allowed.contains(&name.as_str()));
            wrong.map(|(line, name)| format!("line {line} uses {name}")).collect()
        },
        catches: &[
            ("protocol/wire/src/a.rs", "use plasmad_core::Store;"),
            ("protocol/shm/src/a.rs", "use plasmad_wire::Extent;"),
            ("src/core/store/a.rs", "let page = plasmad_shm::page::Page::new();"),
            ("clients/rust/src/a.rs", "use plasmad_core::Store;"),
            ("clients/python/src/a.rs", "use plasmad_wire::Request;"),
            ("src/server/a.rs", "use plasmad_client::Store;"),
            ("src/core/a.rs", "use plasmad::size;"),
        ],
        passes: &[
            ("src/core/a.rs", "use plasmad_wire::ObjectId; // not plasmad_shm::page"),
            ("src/cli/a.rs", "use plasmad_client::Store;"),
            ("clients/rust/src/a.rs", "use plasmad_wire::Request;"),
        ],
    },
    Rule {
        name: "a manifest names only crates below its own",
        check: |file| {
            let Some((_, allowed)) = MANIFESTS.iter().find(|(path, _)| file.path == *path) else { return Vec::new() };
            let named = file.text.lines().filter_map(|line| line.split_once(".workspace")).map(|(name, _)| name);
            let wrong = named.filter(|name| name.starts_with("plasmad-") && !allowed.contains(name));
            wrong.map(|name| format!("depends on {name}")).collect()
        },
        catches: &[
            ("src/core/Cargo.toml", "plasmad-shm.workspace = true"),
            ("clients/rust/Cargo.toml", "plasmad-core.workspace = true"),
        ],
        passes: &[("src/core/Cargo.toml", "plasmad-wire.workspace = true")],
    },
    Rule {
        name: "the core knows values, limits and errors of the wire, and no messages",
        check: |file| {
            let banned = ["request", "response", "frame", "codec", "Request", "Response", "Header"];
            let imports = file.code().filter(|(_, code)| file.is_in("src/core") && code.contains("plasmad_wire::"));
            let is_banned = |code: &str| {
                let (_, names) = code.split_once("plasmad_wire::").unwrap_or_default();
                names.split(|at: char| !at.is_alphanumeric() && at != '_').any(|name| banned.contains(&name))
            };
            imports.filter(|(_, code)| is_banned(code)).map(|(line, _)| format!("line {line}")).collect()
        },
        catches: &[
            ("src/core/a.rs", "use plasmad_wire::request::Create;"),
            ("src/core/a.rs", "use plasmad_wire::{ObjectId, Response};"),
        ],
        passes: &[("src/core/a.rs", "use plasmad_wire::{ObjectId, limits::ITEMS_MAX};")],
    },
    Rule {
        name: "one file turns requests into verbs",
        check: |file| match file.is_in("src") && !file.is_in("src/core") && file.path != "src/server/dispatch.rs" {
            true => {
                let lines = file.code().filter(|(_, code)| {
                    // Being greeted is not a verb: the handshake is the loop's own business.
                    let message = code.contains("plasmad_wire::request::") && !code.contains("request::Hello;");
                    code.contains(" Verb::") || code.contains("(Verb::") || message
                });
                lines.map(|(line, code)| format!("line {line}: {}", code.trim())).collect()
            }
            false => Vec::new(),
        },
        catches: &[
            ("src/server/event_loop.rs", "self.tell(Event::Asked { client, tag, verb: Verb::Stats });"),
            ("src/server/refusals.rs", "use plasmad_wire::request::Create;"),
        ],
        passes: &[
            ("src/server/dispatch.rs", "Request::Stats(_) => Verb::Stats,"),
            ("src/server/event_loop.rs", "use plasmad_wire::request::Hello;\nMeaning::Verb(verb) => (),"),
        ],
    },
    Rule {
        name: "the core has no clock, no files, no threads and no log",
        // Its own unit tests may catch a panic.
        check: |file| match file.is_in("src/core") && file.path != "src/core/testing.rs" {
            true => {
                let lines = file.code().filter(|(_, code)| code.contains("std::") || code.contains("tracing::"));
                lines.map(|(line, code)| format!("line {line}: {}", code.trim())).collect()
            }
            false => Vec::new(),
        },
        catches: &[("src/core/a.rs", "let now = std::time::Instant::now();"), ("src/core/a.rs", "tracing::info!(1);")],
        passes: &[("src/core/a.rs", "use core::mem;"), ("src/a.rs", "use std::fs;")],
    },
];

/// Our crates that a line of code names.
fn crates_in(code: &str) -> impl Iterator<Item = String> {
    let words = code.split_inclusive("::").filter_map(|part| part.strip_suffix("::"));
    let names = words.filter_map(|part| part.rsplit(|at: char| !at.is_alphanumeric() && at != '_').next());
    names.filter(|name| *name == "plasmad" || name.starts_with("plasmad_")).map(str::to_owned)
}

/// Folders, the more special ones first, and the crates of ours that may be named there.
const LAYERS: &[(&str, &[&str])] = &[
    ("protocol/wire", &[]),
    ("protocol/shm", &[]),
    ("protocol/vectors", &["plasmad_wire", "plasmad_vectors"]),
    ("src/core", &["plasmad_wire"]),
    ("src/server", &["plasmad_core", "plasmad_wire", "plasmad_shm"]),
    ("src/memory", &["plasmad_core", "plasmad_wire", "plasmad_shm"]),
    ("src/cli/bench.rs", &["plasmad_bench"]),
    ("src/cli", &["plasmad_client", "plasmad_shm"]),
    ("src/doctor", &["plasmad_client", "plasmad_wire", "plasmad_shm"]),
    ("src/config", &["plasmad_client", "plasmad_core", "plasmad_wire", "plasmad_shm"]),
    ("src/main.rs", &["plasmad"]),
    ("src", &["plasmad_core", "plasmad_wire", "plasmad_shm"]),
    ("clients/rust", &["plasmad_client", "plasmad_wire", "plasmad_shm"]),
    ("clients/python", &["plasmad_client"]),
];

const MANIFESTS: &[(&str, &[&str])] = &[
    ("protocol/wire/Cargo.toml", &[]),
    ("protocol/shm/Cargo.toml", &[]),
    ("protocol/vectors/Cargo.toml", &["plasmad-wire"]),
    ("src/core/Cargo.toml", &["plasmad-wire"]),
    ("clients/rust/Cargo.toml", &["plasmad-wire", "plasmad-shm"]),
    ("clients/python/Cargo.toml", &["plasmad-client"]),
];

/// Every layer that is named exists: a rule about a folder that was moved would see nothing.
#[test]
fn every_layer_is_there() {
    let files: Vec<File> = super::tree::files();
    for (folder, _) in LAYERS.iter().chain(MANIFESTS) {
        assert!(files.iter().any(|file| file.is_in(folder)), "{folder} is gone");
    }
}
